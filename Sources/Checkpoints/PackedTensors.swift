import Messages
import Tensors

/// Finds the tensors of a `pack-quantized` matrix and checks that they fit together.
struct PackedTensors {
    let name: String
    let checkpoint: Checkpoint

    /// The tensor `name.suffix`, which must exist.
    func required(_ suffix: String) throws(CheckpointError) -> StoredTensor {
        guard let tensor = checkpoint.tensor(named: "\(name).\(suffix)") else {
            throw .missingTensor(name: "\(name).\(suffix)", directory: checkpoint.directory)
        }
        return tensor
    }

    /// Rows and columns as `weight_shape` gives them, checked against the packed tensor.
    func shape(packed: StoredTensor, bits: Int) throws(CheckpointError) -> (rows: Int, columns: Int) {
        let stored = try required("weight_shape")
        guard stored.shape == [2], stored.type == .int64 || stored.type == .int32 else {
            throw stored.malformed("it is \(stored.type.rawValue) \(listed(stored.shape)), expected I64 [2]")
        }
        let extents = (0..<2).map { index in
            stored.type == .int64
                ? Int(stored.bytes.loadUnaligned(fromByteOffset: index * 8, as: Int64.self))
                : Int(stored.bytes.loadUnaligned(fromByteOffset: index * 4, as: Int32.self))
        }
        let (rows, columns) = (extents[0], extents[1])
        // Checked before they are multiplied, so that no product overflows.
        let limit = 1 << 40
        guard (0...limit).contains(rows), (0...limit).contains(columns) else {
            throw stored.malformed("it says [\(rows), \(columns)], which is not a shape")
        }
        guard packed.type == .int32, packed.shape == [rows, (columns * bits + 31) / 32] else {
            throw packed.malformed(
                "it is \(packed.type.rawValue) \(listed(packed.shape)), expected I32 [\(rows), \((columns * bits + 31) / 32)] "
                    + "for a \(bits)-bit matrix [\(rows), \(columns)]")
        }
        return (rows, columns)
    }

    /// The scales, which must have the shape that follows from the granularity.
    func scales(rows: Int, groupCount: Int, isWhole: Bool) throws(CheckpointError) -> StoredTensor {
        let scales = try required("weight_scale")
        let allowed = isWhole ? [[], [1], [1, 1]] : groupCount == 1 ? [[rows, 1], [rows]] : [[rows, groupCount]]
        guard allowed.contains(scales.shape) else {
            throw scales.malformed(
                "its shape is \(listed(scales.shape)), expected \(isWhole ? [1] : [rows, groupCount])")
        }
        return scales
    }

    /// The zero points, which are packed along the rows, or one plain byte for the whole matrix.
    func zeroPoints(rows: Int, groupCount: Int, bits: Int, isWhole: Bool) throws(CheckpointError) -> StoredTensor {
        let zeroPoints = try required("weight_zero_point")
        let shape = isWhole ? [1] : [(rows * bits + 31) / 32, groupCount]
        let type = isWhole ? ElementType.int8 : .int32
        guard zeroPoints.type == type, zeroPoints.shape == shape || isWhole && [[], [1, 1]].contains(zeroPoints.shape)
        else {
            throw zeroPoints.malformed(
                "it is \(zeroPoints.type.rawValue) \(listed(zeroPoints.shape)), expected \(type.rawValue) \(shape)")
        }
        return zeroPoints
    }

    /// Accepts `weight_g_idx` only if it keeps the order of columns, or is -1 everywhere, which means that it is unset.
    func checkGroupIndex(columns: Int, groupSize: Int) throws(CheckpointError) {
        guard let index = checkpoint.tensor(named: "\(name).weight_g_idx") else { return }
        guard index.type == .int32, index.shape == [columns] else {
            throw index.malformed("it is \(index.type.rawValue) \(listed(index.shape)), expected I32 [\(columns)]")
        }
        let groups = (0..<columns).map { Int(index.bytes.loadUnaligned(fromByteOffset: $0 * 4, as: Int32.self)) }
        let isUnset = groups.allSatisfy { $0 == -1 }
        guard isUnset || groups.enumerated().allSatisfy({ $0.element == $0.offset / groupSize }) else {
            throw .unsupported(
                path: index.path, feature: "the reordering of columns in \(quoted(index.name)) (actorder \"group\")")
        }
    }
}

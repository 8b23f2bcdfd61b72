import Checkpoints
import Tensors

/// A tensor of the input and the tensors that it becomes.
struct Item: Sendable {
    let tensor: StoredTensor
    /// The tensors that it becomes in the output.
    let outputs: [TensorDescription]
    /// The encoded matrix; nil if the tensor is copied.
    let source: QuantizingSource?

    /// The last components of the names of a decoder's linear layers.
    private static let linearNames: Set<String> = [
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    ]

    /// The name of the tensor's module: the tensor's name without ".weight".
    private let module: String

    init(_ tensor: StoredTensor, scheme: IntegerScheme, in checkpoint: Checkpoint) throws(QuantizationError) {
        self.tensor = tensor
        guard !tensor.name.hasSuffix(".weight_packed") else { throw .alreadyQuantized(path: tensor.path) }
        let module = tensor.name.hasSuffix(".weight") ? String(tensor.name.dropLast(7)) : tensor.name
        self.module = module
        let last = module.split(separator: ".").last.map(String.init) ?? ""
        guard module != tensor.name, tensor.shape.count == 2, module.hasPrefix("model.layers."),
            Self.linearNames.contains(last)
        else {
            outputs = [tensor.description]
            source = nil
            return
        }
        let matrix = try reading { () throws(CheckpointError) in
            try checkpoint.matrix(named: module, quantization: nil)
        }
        let groupSize = scheme.groupSize(columns: matrix.columns)
        guard matrix.columns.isMultiple(of: groupSize) else {
            throw .unevenGroups(tensor: tensor.name, columns: matrix.columns, groupSize: groupSize)
        }
        source = try QuantizingSource(matrix, scheme: scheme)
        outputs = Self.outputs(of: matrix, module: module, scheme: scheme, scaleType: tensor.type)
    }

    /// The name of the module, if it is copied although readers could take it for a quantized layer.
    ///
    /// Embeddings are of another class, so they need not be listed.
    var ignoredModule: String? {
        guard source == nil, module != tensor.name, tensor.shape.count == 2, !module.hasSuffix("embed_tokens") else {
            return nil
        }
        return module
    }

    private static func outputs(
        of matrix: any MatrixSource, module: String, scheme: IntegerScheme, scaleType: ElementType
    ) -> [TensorDescription] {
        let isWhole = scheme.granularity == .tensor
        let groupCount = matrix.groupCount(scheme)
        let words = (matrix.columns * scheme.bits + 31) / 32
        var outputs = [
            TensorDescription(name: "\(module).weight_shape", type: .int64, shape: [2]),
            TensorDescription(name: "\(module).weight_packed", type: .int32, shape: [matrix.rows, words]),
            TensorDescription(
                name: "\(module).weight_scale", type: scaleType, shape: isWhole ? [1] : [matrix.rows, groupCount]),
        ]
        if !scheme.isSymmetric {
            let rowWords = (matrix.rows * scheme.bits + 31) / 32
            outputs.append(
                TensorDescription(
                    name: "\(module).weight_zero_point", type: isWhole ? .int8 : .int32,
                    shape: isWhole ? [1] : [rowWords, groupCount]))
        }
        return outputs
    }

    /// Writes the output's tensors in strips.
    ///
    /// - Parameters:
    ///   - places: the writer's index of every tensor, by name.
    ///   - step: called before every strip with the fraction that is done; it may throw to stop.
    func write(
        to writer: SafetensorsWriter, places: [String: Int], step: (Double) throws(QuantizationError) -> Void
    ) throws(QuantizationError) {
        func append(_ bytes: UnsafeRawBufferPointer, _ name: String) throws(QuantizationError) {
            guard let place = places[name], !bytes.isEmpty else { return }
            try reading { () throws(CheckpointError) in try writer.append(bytes, to: place) }
        }
        guard let source else {
            let bytes = tensor.bytes
            for start in stride(from: 0, to: bytes.count, by: 1 << 22) {
                try step(Double(start) / Double(bytes.count))
                let end = min(start + 1 << 22, bytes.count)
                try append(UnsafeRawBufferPointer(rebasing: bytes[start..<end]), tensor.name)
            }
            tensor.release()
            return
        }
        var strip = PackedStrip(source: source, scaleType: tensor.type)
        for start in stride(from: 0, to: source.rows, by: PackedStrip.rowCount) {
            try step(Double(start) / Double(source.rows))
            let rows = start..<min(start + PackedStrip.rowCount, source.rows)
            strip.encode(rows)
            try source.checkFinite()
            source.release(rows: rows)
            for (suffix, bytes) in strip.parts {
                try bytes.withUnsafeBufferPointer { (buffer) throws(QuantizationError) in
                    try append(UnsafeRawBufferPointer(buffer), "\(module).\(suffix)")
                }
            }
        }
    }
}

extension MatrixSource {
    /// The number of groups in a row.
    func groupCount(_ scheme: IntegerScheme) -> Int {
        let groupSize = scheme.groupSize(columns: columns)
        return max(1, (columns + groupSize - 1) / groupSize)
    }
}

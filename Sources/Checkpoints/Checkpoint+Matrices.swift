import Messages
import Tensors

extension Checkpoint {
    /// Opens the matrix `base`, such as "model.layers.0.mlp.down_proj", in the format in which it is stored.
    ///
    /// The names of its tensors decide between the formats; `quantization` (from `quantizationConfiguration()`) says
    /// how they are encoded.
    ///
    /// - Throws: `missingTensor`, `malformedTensor`, `unsupported`.
    public func matrix(
        named base: String, quantization: QuantizationConfiguration?
    ) throws(CheckpointError) -> any MatrixSource {
        if let packed = tensor(named: "\(base).weight_packed") {
            guard let quantization else {
                throw packed.malformed("it is quantized, but config.json has no quantization_config")
            }
            guard let scheme = try quantization.scheme(for: base) else {
                throw packed.malformed("it is quantized, but config.json's quantization_config excludes it")
            }
            return try PackedIntegerMatrix(name: base, scheme: scheme, in: self)
        }
        guard let tensor = tensor(named: "\(base).weight") else {
            throw .missingTensor(name: "\(base).weight", directory: directory)
        }
        return try FloatMatrix(name: base, tensor: tensor)
    }

    /// Reads the one-dimensional tensor `name`, such as "model.norm.weight", as floats.
    ///
    /// - Throws: `missingTensor`, `malformedTensor`, `unsupported`.
    public func vector(named name: String) throws(CheckpointError) -> [Float] {
        guard let tensor = tensor(named: name) else {
            throw .missingTensor(name: name, directory: directory)
        }
        guard tensor.shape.count <= 2 else {
            throw tensor.malformed(
                "its shape is \(listed(tensor.shape)); a vector has one dimension, or two with heads")
        }
        let elementCount = tensor.shape.reduce(1, *)
        let format = try FloatFormat(of: tensor)
        let bytes = tensor.bytes
        return [Float](unsafeUninitializedCapacity: elementCount) { buffer, count in
            if let source = bytes.baseAddress, let out = buffer.baseAddress {
                format.read(source, elementCount, into: out)
            }
            count = elementCount
        }
    }
}

import Architectures
import Checkpoints

/// Where a model's weights come from: a checkpoint, or numbers made up for a measurement.
public protocol WeightSource: Sendable {
    /// A linear layer's matrix, or the embedding, `[rows, columns]`.
    func matrix(_ parameter: Parameter) throws -> any MatrixSource
    /// A bias, or a norm's weight.
    func vector(_ parameter: Parameter) throws -> [Float]
    /// A number that is the same on two ranks only if they opened the same weights.
    var digest: UInt64 { get }
}

/// The weights of a checkpoint, checked against what the configuration says.
public struct CheckpointWeights: WeightSource {
    private let checkpoint: Checkpoint
    private let quantization: QuantizationConfiguration?
    private let names: TensorNames

    /// Checks that the checkpoint holds every parameter and nothing that is not known.
    public init(
        _ checkpoint: Checkpoint, quantization: QuantizationConfiguration?, names: TensorNames,
        decoder: DecoderConfiguration
    ) throws {
        self.checkpoint = checkpoint
        self.quantization = quantization
        self.names = names
        try checkNames(decoder)
    }

    public var digest: UInt64 { checkpoint.digest }

    public func matrix(_ parameter: Parameter) throws -> any MatrixSource {
        let name = names.module(parameter.name)
        let matrix = try checkpoint.matrix(named: name, quantization: quantization)
        try check([matrix.rows, matrix.columns], parameter, tensor: "\(name).weight")
        return matrix
    }

    public func vector(_ parameter: Parameter) throws -> [Float] {
        let name = names.module(parameter.name) + (parameter.role == .bias ? ".bias" : ".weight")
        let vector = try checkpoint.vector(named: name)
        try check([vector.count], parameter, tensor: name)
        return vector
    }

    private func check(_ shape: [Int], _ parameter: Parameter, tensor name: String) throws {
        guard shape != parameter.shape else { return }
        throw ModelError.wrongShape(
            tensor: name, path: checkpoint.tensor(named: name)?.path ?? checkpoint.directory, found: shape,
            expected: parameter.shape)
    }

    /// A tensor that nothing uses means that the configuration and the weights do not belong together.
    private func checkNames(_ decoder: DecoderConfiguration) throws {
        let modules = Set(decoder.parameters().map { names.module($0.name) })
        for name in checkpoint.tensorNames where !names.isIgnored(name) {
            let module = name.lastIndex(of: ".").map { String(name[..<$0]) } ?? name
            guard modules.contains(module) else {
                throw ModelError.unusedTensor(
                    name: name, path: checkpoint.tensor(named: name)?.path ?? checkpoint.directory)
            }
        }
        let biased = Set(decoder.parameters().filter { $0.role == .bias }.map { names.module($0.name) + ".bias" })
        if let bias = checkpoint.tensorNames.first(where: { $0.hasSuffix(".bias") && !biased.contains($0) }) {
            throw ModelError.unusedTensor(
                name: bias, path: checkpoint.tensor(named: bias)?.path ?? checkpoint.directory)
        }
    }
}

/// What can be wrong between a configuration and its weights.
public enum ModelError: Error, Equatable, CustomStringConvertible {
    case wrongShape(tensor: String, path: String, found: [Int], expected: [Int])
    case unusedTensor(name: String, path: String)
    case cannotQuantize(tensor: String, reason: String)
    case alreadyQuantized(tensor: String)
    case logitsNotFinite(step: Int)
    case notComputed(layer: Int)

    public var description: String {
        switch self {
        case .wrongShape(let tensor, let path, let found, let expected):
            "tensor \"\(tensor)\" is \(found) in \(path); config.json says \(expected). "
                + "The file may be from another model, or config.json was changed."
        case .unusedTensor(let name, let path):
            "tensor \"\(name)\" in \(path) has no place in the model that config.json describes; "
                + "they may not belong together."
        case .cannotQuantize(let tensor, let reason):
            "tensor \"\(tensor)\" cannot be used with integer weights: \(reason)"
        case .alreadyQuantized(let tensor):
            "tensor \"\(tensor)\" is quantized already; use --quantization auto (as stored) or none (as floats)"
        case .notComputed(let layer):
            "layer \(layer) is of a kind that this runtime does not compute yet; sizing can plan for it"
        case .logitsNotFinite(let step):
            "step \(step) gave logits that are not finite numbers; a weight or scale of the checkpoint may be damaged"
        }
    }
}

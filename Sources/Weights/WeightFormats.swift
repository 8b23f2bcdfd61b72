import Architectures
import Checkpoints
import Quantization
import Tensors
import Topology

/// What `--dtype`, `--quantization` and `--lm-head` ask for.
public struct WeightOptions: Equatable, Sendable {
    /// How linear layers are stored.
    public enum Quantization: Equatable, Sendable {
        /// As the checkpoint has them.
        case asStored
        /// As floats, dequantized if need be.
        case none
        /// Quantized while loading.
        case scheme(IntegerScheme)
    }

    /// What the output head gets when linear layers are quantized while loading.
    public enum Head: Equatable, Sendable {
        case asStored
        case sameAsLayers
        case scheme(IntegerScheme)
    }

    /// The float type of what is not quantized; nil: as stored.
    public var floatType: ElementType?
    public var quantization: Quantization
    public var head: Head

    public init(floatType: ElementType? = nil, quantization: Quantization = .asStored, head: Head = .asStored) {
        self.floatType = floatType
        self.quantization = quantization
        self.head = head
    }

    /// The scheme that a parameter's matrix is encoded with while loading; nil: none.
    func scheme(for name: ParameterName) -> IntegerScheme? {
        guard case .scheme(let scheme) = quantization else { return nil }
        guard name == .head else { return scheme }
        switch head {
        case .asStored: return nil
        case .sameAsLayers: return scheme
        case .scheme(let scheme): return scheme
        }
    }

    /// The matrix as it will be packed, and its format.
    ///
    /// - Parameter layout: how its input dimension is cut.
    public func prepare(
        _ source: any MatrixSource, as name: ParameterName, layout: ContractionLayout
    ) throws -> (source: any MatrixSource, format: ComputeFormat, block: Int) {
        let (format, block) = try format(of: source, as: name, layout: layout)
        guard let scheme = scheme(for: name) else { return (source, format, block) }
        return (try QuantizingSource(source, scheme: scheme), format, block)
    }

    /// The format of every matrix of a model, without reading weights: what the cost model adds up.
    ///
    /// - Parameters:
    ///   - shardCount: ranks that share each layer.
    ///   - layers: only of these layers; nil: of all.
    public func formats(
        of decoder: DecoderConfiguration, from weights: any WeightSource, shardCount: Int, layers: [Int]? = nil
    ) throws -> [ParameterName: ComputeFormat] {
        var formats: [ParameterName: ComputeFormat] = [:]
        let parameters =
            (layers ?? Array(decoder.layers.indices)).flatMap { decoder.parameters(of: decoder.layers[$0], at: $0) }
            + decoder.outerParameters()
        for parameter in parameters where parameter.role == .matrix {
            formats[parameter.name] = try format(
                of: weights.matrix(parameter), as: parameter.name,
                layout: decoder.contraction(of: parameter, shardCount: shardCount)
            ).format
        }
        if decoder.tiesEmbeddings, let table = parameters.first(where: { $0.name == .embedding }) {
            formats[.head] = try format(
                of: weights.matrix(table), as: .head, layout: ContractionLayout(length: decoder.hiddenSize)
            ).format
        }
        return formats
    }

    /// The format that a matrix will be packed in, and how many columns make a block of its input.
    func format(
        of source: any MatrixSource, as name: ParameterName, layout: ContractionLayout
    ) throws -> (format: ComputeFormat, block: Int) {
        var encoding = source.encoding
        if let scheme = scheme(for: name) {
            guard case .float = encoding else { throw ModelError.alreadyQuantized(tensor: source.name) }
            encoding = scheme.encoding(of: source)
        }
        switch encoding {
        case .integer(let bits, let groups) where quantization != .none:
            guard let block = layout.inputBlock(group: groups.size) else {
                throw ModelError.cannotQuantize(
                    tensor: source.name,
                    reason:
                        "groups of \(groups.size) and pieces of \(layout.unit) columns have no common block of 4 columns or more; "
                        + "use --quantization none")
            }
            // Two half blocks share the bytes of packed 4-bit codes, so that shorter blocks are widened.
            let isNarrow = bits <= 4 && block >= 8
            return (isNarrow ? .int4(groups) : .int8(groups), block)
        case .integer:
            return (try floatFormat(floatType ?? .bfloat16, source), layout.inputBlock(group: nil) ?? 1)
        case .float(let stored):
            return (try floatFormat(floatType ?? stored, source), layout.inputBlock(group: nil) ?? 1)
        }
    }

    private func floatFormat(_ type: ElementType, _ source: any MatrixSource) throws -> ComputeFormat {
        switch type {
        case .float32: .float32
        case .float16: .float16
        case .bfloat16: .bfloat16
        default:
            throw ModelError.cannotQuantize(
                tensor: source.name, reason: "\(type.rawValue) is no float type of the kernels")
        }
    }
}

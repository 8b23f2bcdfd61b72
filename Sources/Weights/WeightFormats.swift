import Architectures
import Checkpoints
import Quantization
import Tensors
import Topology

/// The formats that `--dtype`, `--quantization` and `--lm-head` ask for.
public struct WeightOptions: Equatable, Sendable {
    /// How linear layers are stored.
    public enum Quantization: Equatable, Sendable {
        /// In the checkpoint's formats.
        case asStored
        /// As floating point, dequantized if necessary.
        case none
        /// Quantized while loading.
        case scheme(IntegerScheme)
    }

    /// The format of the output head when linear layers are quantized while loading.
    public enum Head: Equatable, Sendable {
        case asStored
        case sameAsLayers
        case scheme(IntegerScheme)
    }

    /// The floating-point type of matrices that are not quantized; nil: as stored.
    public var floatType: ElementType?
    public var quantization: Quantization
    public var head: Head

    public init(floatType: ElementType? = nil, quantization: Quantization = .asStored, head: Head = .asStored) {
        self.floatType = floatType
        self.quantization = quantization
        self.head = head
    }

    /// The scheme by which a parameter's matrix is quantized while loading; nil: none.
    func scheme(for name: ParameterName) -> IntegerScheme? {
        guard case .scheme(let scheme) = quantization else { return nil }
        if case .layer = name { return scheme }
        guard name == .head else { return nil }
        switch head {
        case .asStored: return nil
        case .sameAsLayers: return scheme
        case .scheme(let scheme): return scheme
        }
    }

    /// The matrix as it will be packed, and its format.
    ///
    /// - Parameter layout: how the matrix's input dimension is cut.
    public func prepare(
        _ source: any MatrixSource, as name: ParameterName, layout: ContractionLayout
    ) throws -> (source: any MatrixSource, format: ComputeFormat) {
        let format = try format(of: source, as: name, layout: layout)
        guard let scheme = scheme(for: name) else { return (source, format) }
        return (try QuantizingSource(source, scheme: scheme), format)
    }

    /// The format of every matrix of a model, determined without reading weights.
    ///
    /// - Parameters:
    ///   - shardCount: the number of ranks that share each layer.
    ///   - layers: the layers to consider; nil: all.
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
                layout: decoder.contraction(of: parameter, shardCount: shardCount))
        }
        if decoder.tiesEmbeddings, let table = parameters.first(where: { $0.name == .embedding }) {
            formats[.head] = try format(
                of: weights.matrix(table), as: .head, layout: ContractionLayout(length: decoder.embeddingWidth))
        }
        return formats
    }

    /// The format that a matrix will be packed in.
    func format(
        of source: any MatrixSource, as name: ParameterName, layout: ContractionLayout
    ) throws -> ComputeFormat {
        var encoding = source.encoding
        if let scheme = scheme(for: name) {
            guard case .float = encoding else { throw ModelError.alreadyQuantized(tensor: source.name) }
            encoding = scheme.encoding(of: source)
        }
        switch encoding {
        case .integer(let bits, let groups) where quantization != .none:
            let granularity = layout.blockGranularity(group: groups.size)
            guard granularity >= ComputeFormat.int8(groups).step(run: 1) else {
                throw ModelError.cannotQuantize(
                    tensor: source.name,
                    reason:
                        "groups of \(groups.size) and pieces of \(layout.unit) columns do not end at multiples of 4 columns; "
                        + "use --quantization none")
            }
            // Blocks that end inside a step of 4-bit codes are possible only if codes are widened to 8 bits.
            let four = ComputeFormat.int4(groups)
            return bits <= 4 && granularity >= four.step(run: 1) ? four : .int8(groups)
        case .integer: return try floatFormat(floatType ?? .bfloat16, source)
        case .float(let stored): return try floatFormat(floatType ?? stored, source)
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

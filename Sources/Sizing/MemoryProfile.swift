import Foundation
import Messages

/// A runtime's use of a card's memory besides weights and cache, and the plans that it supports.
///
/// A profile is a data file. The built-in ones are in `Resources`; a user may copy one, change it, and give the file's
/// name.
public struct MemoryProfile: Codable, Equatable, Sendable {
    public var name: String
    /// Where the figures come from.
    public var source: String
    public var accounting: Accounting
    /// Bytes in a gigabyte of card memory, as vendors count it.
    public var nominalGigabyte: Double
    /// Fraction of a card's memory that the runtime may use, unless the user says otherwise.
    public var utilization: Double
    /// The numbers of cards that the runtime supports; nil: any.
    public var cardCounts: [Int]?
    /// The largest number of cards to try.
    public var maximumCards: Int
    public var allowsPipeline: Bool
    /// Whether the tensor degree must divide the query heads.
    public var needsEvenHeads: Bool
    /// Rows of the vocabulary are padded to multiples of this on each card.
    public var vocabularyUnit: Int
    public var latentCache: LatentCacheForm
    /// Positions per block of the cache.
    public var cacheBlock: Int
    /// Tokens of the longest step; nil: a sequence's whole prompt at once.
    public var stepTokens: Int?
    /// The context that a model must reach to count as running.
    public var minimalLength: Int
    /// Whether contexts are tried by doubling, as in the fitted table; otherwise, in single cache blocks.
    public var doublesLength: Bool
    /// Rows of logits that are computed at once, and counted both in float32 and in 16 bits.
    public var logitRows: Int
    /// The read bandwidth of a card in gigabytes (10⁹ bytes) per second, for the bound on decoding.
    public var memoryBandwidth: Double
    public var coefficients: Coefficients
    public var fit: FitReport?

    /// How the bytes of a card are added up.
    public enum Accounting: String, Codable, Sendable {
        /// Byte for byte as this runtime allocates: packed weights, arena and cache.
        case runtime
        /// By stored weights and cache, and by coefficients for activations.
        case coefficients
    }

    /// The fitted coefficients, each with the range in which the fit is as good.
    public struct Coefficients: Codable, Equatable, Sendable {
        /// Bytes of a card besides everything else.
        public var overhead = Coefficient()
        /// 16-bit numbers kept per token of the longest step and per feature of the hidden size.
        public var hidden = Coefficient()
        /// 16-bit numbers kept per token of the longest step and per intermediate feature on the card.
        ///
        /// Of experts, the active ones count.
        public var intermediate = Coefficient()
        /// Bytes per pair of positions, such as those of a mask.
        public var pairs = Coefficient()
        /// Bytes per head and pair of positions, for attention without a fused kernel, which stores its scores.
        ///
        /// Attention with linear biases (ALiBi) and latent attention have no fused kernel.
        public var scores = Coefficient()

        public init() {}

        enum CodingKeys: String, CodingKey {
            case overhead = "overhead_bytes"
            case hidden = "hidden_values_per_token"
            case intermediate = "intermediate_values_per_token"
            case pairs = "bytes_per_position_pair"
            case scores = "bytes_per_head_and_position_pair"
        }

        /// All coefficients: the name, the path, and the scale of the fit's search steps.
        static let all: [(name: String, path: WritableKeyPath<Coefficients, Coefficient> & Sendable, scale: Double)] = [
            ("overhead_bytes", \.overhead, 1e9), ("hidden_values_per_token", \.hidden, 4),
            ("intermediate_values_per_token", \.intermediate, 2),
            ("bytes_per_position_pair", \.pairs, 0.3), ("bytes_per_head_and_position_pair", \.scores, 10),
        ]
    }

    /// A number, and the range in which answers do not change.
    public struct Coefficient: Codable, Equatable, Sendable {
        public var value = 0.0
        public var low = 0.0
        public var high = 0.0

        public init(_ value: Double = 0) { (self.value, low, high) = (value, value, value) }
    }

    /// How coefficients were fitted, and how well.
    public struct FitReport: Codable, Equatable, Sendable {
        public var table: String
        public var method: String
        public var rows: Int
        public var cardsRight: Int
        public var bothRight: Int
        /// The rows that the coefficients do not explain.
        public var misses: [String]

        enum CodingKeys: String, CodingKey {
            case table
            case method
            case rows
            case cardsRight = "cards_right"
            case bothRight = "cards_and_length_right"
            case misses
        }
    }

    enum CodingKeys: String, CodingKey {
        case name
        case source
        case accounting
        case nominalGigabyte = "nominal_gigabyte_bytes"
        case utilization
        case cardCounts = "card_counts"
        case maximumCards = "maximum_cards"
        case allowsPipeline = "pipeline"
        case needsEvenHeads = "needs_even_heads"
        case vocabularyUnit = "vocabulary_unit"
        case latentCache = "latent_cache"
        case cacheBlock = "cache_block"
        case stepTokens = "step_tokens"
        case minimalLength = "minimal_length"
        case doublesLength = "doubles_length"
        case logitRows = "logit_rows"
        case memoryBandwidth = "memory_bandwidth_gb_per_s"
        case coefficients
        case fit
    }

    /// The coefficients with their ranges, by name.
    public var coefficientRanges: [(name: String, value: Double, low: Double, high: Double)] {
        Coefficients.all.map { entry in
            let found = coefficients[keyPath: entry.path]
            return (entry.name, found.value, found.low, found.high)
        }
    }

    /// Returns the same profile with another value of a coefficient.
    public func setting(_ name: String, to value: Double) -> MemoryProfile {
        var profile = self
        for entry in Coefficients.all where entry.name == name {
            profile.coefficients[keyPath: entry.path].value = value
        }
        return profile
    }

    /// The built-in profiles.
    public static let builtIn: [MemoryProfile] = {
        do {
            return try JSONDecoder().decode([MemoryProfile].self, from: Data(PackageResources.profiles_json))
        } catch {
            // The profiles are compiled in, and a test reads all of them.
            preconditionFailure("the profiles are damaged: \(error)")
        }
    }()

    /// The profile of this runtime.
    public static let trireme = builtIn[0]

    /// Finds a built-in profile by name, or reads one from the file `name`.
    ///
    /// - Parameter read: reads the file; its errors are passed on.
    public init(
        named name: String, reading read: (String) throws -> Data = { try Data(contentsOf: URL(fileURLWithPath: $0)) }
    ) throws {
        if let found = Self.builtIn.first(where: { $0.name == name }) {
            self = found
            return
        }
        let names = Self.builtIn.map(\.name).joined(separator: ", ")
        guard FileManager.default.fileExists(atPath: name) else {
            throw SizingError.noProfile(name: name, known: names)
        }
        let data = try read(name)
        do {
            self = try JSONDecoder().decode(MemoryProfile.self, from: data)
        } catch {
            throw SizingError.badProfile(path: name, reason: "it is not JSON like sizing fit writes")
        }
        try check(path: name)
    }

    private func check(path: String) throws(SizingError) {
        let numbers = Coefficients.all.flatMap { entry in
            let coefficient = coefficients[keyPath: entry.path]
            return [coefficient.value, coefficient.low, coefficient.high]
        }
        let faults: [(String, Bool)] = [
            ("utilization must be from 0.01 to 1", !(0.01...1).contains(utilization)),
            ("nominal_gigabyte_bytes must be from 1e8 to 1e10", !(1e8...1e10).contains(nominalGigabyte)),
            ("card_counts must be numbers from 1 to 65536", !(cardCounts ?? [1]).allSatisfy((1...1 << 16).contains)),
            ("card_counts must not be empty", cardCounts?.isEmpty ?? false),
            ("maximum_cards must be from 1 to 65536", !(1...1 << 16).contains(maximumCards)),
            ("vocabulary_unit must be from 1 to 65536", !(1...1 << 16).contains(vocabularyUnit)),
            ("cache_block must be from 1 to 65536", !(1...1 << 16).contains(cacheBlock)),
            ("step_tokens must be from 1 to 1048576", !(1...1 << 20).contains(stepTokens ?? 1)),
            ("step_tokens is needed with accounting runtime", accounting == .runtime && stepTokens == nil),
            ("minimal_length must be from 1 to 1073741824", !(1...1 << 30).contains(minimalLength)),
            ("logit_rows must be from 0 to 1048576", !(0...1 << 20).contains(logitRows)),
            ("memory_bandwidth_gb_per_s must be from 0.001 to 1e6", !(0.001...1e6).contains(memoryBandwidth)),
            ("coefficients must be from 0 to 1e15", !numbers.allSatisfy((0...1e15).contains)),
        ]
        if let fault = faults.first(where: \.1) { throw .badProfile(path: path, reason: fault.0) }
    }
}

/// An error in a question about sizes.
public enum SizingError: Error, Equatable, CustomStringConvertible {
    case noProfile(name: String, known: String)
    case badProfile(path: String, reason: String)
    case badTable(path: String, reason: String)
    case badPlan(String)

    public var description: String {
        switch self {
        case .noProfile(let name, let known): "no profile \(quoted(name)): known are \(known), or give a file"
        case .badProfile(let path, let reason): "\(escaped(path)): \(reason)"
        case .badTable(let path, let reason): "\(escaped(path)): \(reason)"
        case .badPlan(let text): text
        }
    }
}

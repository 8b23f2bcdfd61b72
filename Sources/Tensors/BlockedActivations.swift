/// Activations in the form that a product multiplies, in the step's arena; `ck_input` says how they lie.
public struct BlockedActivations {
    /// 8-bit codes, for integer weights.
    public struct Codes {
        public let elements: UnsafeMutablePointer<Int8>
        /// A scale for each block and token.
        public let scales: UnsafeMutablePointer<Float>
        /// For each block and token, the amount by which a product with codes stored unsigned exceeds the true one, negated.
        public let corrections: UnsafeMutablePointer<Int32>

        public init(
            elements: UnsafeMutablePointer<Int8>, scales: UnsafeMutablePointer<Float>,
            corrections: UnsafeMutablePointer<Int32>
        ) {
            self.elements = elements
            self.scales = scales
            self.corrections = corrections
        }
    }

    public let codes: Codes?
    /// bfloat16, for weights of that type.
    public let rounded: UnsafeMutablePointer<UInt16>?
    /// The weight with whose blocks the activations were made, and by which alone they can be multiplied.
    public let weight: ObjectIdentifier

    /// The bytes past the end of the elements, and of the scales and the corrections, that kernels may read (`ck_input`).
    public static let padding = (elements: 2048, scales: 64)

    public init(codes: Codes, for weight: ObjectIdentifier) {
        self.codes = codes
        rounded = nil
        self.weight = weight
    }

    public init(rounded: UnsafeMutablePointer<UInt16>, for weight: ObjectIdentifier) {
        codes = nil
        self.rounded = rounded
        self.weight = weight
    }
}

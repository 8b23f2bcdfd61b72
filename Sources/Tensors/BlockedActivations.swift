/// Activations in the form that a product multiplies: `[block][tokens][columns of the block]`, in the step's arena.
public struct BlockedActivations {
    /// 8-bit codes, for integer weights.
    public struct Codes {
        public let elements: UnsafeMutablePointer<Int8>
        /// `[block][tokens]`.
        public let scales: UnsafeMutablePointer<Float>
        /// `[block][tokens]`: what a product with codes stored unsigned exceeds the true one by, negated.
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
    /// Columns of a block.
    public let block: Int

    /// Bytes past the end of the elements, and of the scales, that kernels may read (`ck_input`).
    public static let padding = (elements: 1024, scales: 64)

    public init(codes: Codes, block: Int) {
        self.codes = codes
        rounded = nil
        self.block = block
    }

    public init(rounded: UnsafeMutablePointer<UInt16>, block: Int) {
        codes = nil
        self.rounded = rounded
        self.block = block
    }
}

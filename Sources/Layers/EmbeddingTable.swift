/// Rows of an embedding, read where the checkpoint has them.
///
/// Not copied: a step reads a few rows, and every rank of the first stage can read them from its own mapping, so that
/// token ids go over the wire instead of hidden states. A tied head is packed separately, divided by vocabulary.
public protocol EmbeddingTable: Sendable {
    /// Checks that the rows are still those that were opened: cheap, asked once a step.
    func checkUnchanged() throws
    /// Writes the row of a token: as many floats as the hidden size.
    func read(token: Int, into output: UnsafeMutablePointer<Float>)
}

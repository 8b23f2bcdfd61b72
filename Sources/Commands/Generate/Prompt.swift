/// A text to continue, as the model sees it.
struct Prompt {
    let tokens: [Int32]
    /// The option or the line of a file that it comes from, for messages.
    let source: String
}

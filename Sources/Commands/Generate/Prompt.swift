/// A prompt to continue, as token ids.
struct Prompt {
    let tokens: [Int32]
    /// The option, or the line of a file, that the prompt comes from, for messages.
    let source: String
}

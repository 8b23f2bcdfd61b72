import ModelOptions
import ProgramEntry
import Tokenization

/// A model's tokenizer, or the reason why it cannot be used; prompts that are given as token ids need no tokenizer.
public struct ModelTokenizer {
    /// The tokenizer; nil if the model has none, or if its tokenizer cannot be used.
    public let value: Tokenizer?
    /// The reason why the model's tokenizer cannot be used; nil if it can be used, or if the model has none.
    let failure: (any Error)?

    init(of model: OpenedModel) {
        guard let directory = model.directory, Tokenizer.isPresent(in: directory) else {
            (value, failure) = (nil, nil)
            return
        }
        do {
            (value, failure) = (try Tokenizer(contentsOf: directory), nil)
        } catch {
            (value, failure) = (nil, error)
        }
    }

    /// Gives the tokenizer, for a purpose that needs one.
    ///
    /// - Parameter purpose: what needs the tokenizer, for messages.
    /// - Throws: the error that made the tokenizer unusable, or `RunError` with status 66 if the model has none.
    public func required(by model: OpenedModel, for purpose: String = "text") throws -> Tokenizer {
        if let failure { throw failure }
        guard let value else {
            throw RunError(
                .missingInput,
                "\(purpose) needs a tokenizer, and \(model.name) has no tokenizer.json or other tokenizer file: give --prompt-token-ids and no text"
            )
        }
        return value
    }
}

extension OpenedModel {
    /// Gives a prompt's token ids, with the special tokens that the model wants around a text unless the prompt
    /// continues one.
    ///
    /// - Parameter source: where the text comes from, for messages.
    /// - Throws: the errors of `required`; `RunError` if the text is not UTF-8, or has a token that the model does not
    ///   have.
    public func encode(
        _ text: [UInt8], from source: String, tokenizer: ModelTokenizer, isContinuation: Bool = false
    ) throws -> [Int32] {
        let tokenizer = try tokenizer.required(by: self)
        let tokens: [Int32]
        do {
            tokens = try tokenizer.encode(utf8: text, special: isContinuation ? .off : .on).map(\.rawValue)
        } catch {
            throw RunError(.badInput, "\(source): \(error)")
        }
        return try checked(tokens)
    }

    /// Gives back tokens that the model has.
    ///
    /// - Throws: `RunError` for a token that it does not have.
    public func checked(_ tokens: [Int32]) throws(RunError) -> [Int32] {
        guard let bad = tokens.first(where: { Int($0) >= decoder.vocabularySize }) else { return tokens }
        throw RunError(
            .badInput,
            "the tokenizer of \(name) gives token \(bad), but the model has only \(decoder.vocabularySize); they do not belong together"
        )
    }
}

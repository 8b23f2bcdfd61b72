import Glibc
import ModelOptions
import ProgramEntry
import Tokenization

/// A model's tokenizer, or why there is none to use: prompts given as token ids need none.
public struct ModelTokenizer {
    /// The tokenizer; nil if the model has none, or one that cannot be used.
    public let value: Tokenizer?
    /// Why the model's tokenizer cannot be used; nil if it can, or if there is none.
    let failure: (any Error)?

    init(of model: OpenedModel) {
        guard let directory = model.directory, access(directory + "/tokenizer.json", F_OK) == 0 else {
            (value, failure) = (nil, nil)
            return
        }
        do {
            (value, failure) = (try Tokenizer(contentsOf: directory), nil)
        } catch {
            (value, failure) = (nil, error)
        }
    }

    /// The tokenizer, for what cannot do without.
    ///
    /// - Parameter purpose: what needs it, for messages.
    /// - Throws: what made it unusable, or `RunError` with status 66 where there is none.
    public func required(by model: OpenedModel, for purpose: String = "text") throws -> Tokenizer {
        if let failure { throw failure }
        guard let value else {
            throw RunError(
                .missingInput,
                "\(purpose) needs a tokenizer, and \(model.name) has no tokenizer.json: give --prompt-token-ids and no text"
            )
        }
        return value
    }
}

extension OpenedModel {
    /// A prompt's token ids, with what the model wants around a text unless it continues one.
    ///
    /// - Parameter source: where the text stands, for messages.
    /// - Throws: `RunError` for a text that is not UTF-8 or a token that the model does not have; what `required` throws.
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
        if let bad = tokens.first(where: { Int($0) >= decoder.vocabularySize }) {
            throw RunError(
                .badInput,
                "the tokenizer of \(name) gives token \(bad), but the model has only \(decoder.vocabularySize); they do not belong together"
            )
        }
        return tokens
    }
}

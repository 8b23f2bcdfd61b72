import Messages

/// A list of tokens as bytes, each with its rank: the format of the library `tiktoken`.
///
/// Neighbours are joined whenever together they are a token, the one of the lowest rank first; a piece that is a token is
/// that token. The model is described as the byte-level one of a `tokenizer.json` file with the same tokens.
///
/// Source: https://github.com/openai/tiktoken (`src/lib.rs`, `tiktoken/load.py`).
enum RankFile {
    /// A token and its rank.
    typealias Entry = (bytes: [UInt8], rank: Int)

    /// Whether a file's first line is a token in base64 and a number.
    static func isRankFile(_ bytes: [UInt8]) -> Bool {
        entry(bytes[..<(bytes.firstIndex(of: 0x0A) ?? bytes.count)]) != nil
    }

    /// Reads lines of a token in base64, a space, and the token's rank.
    static func entries(_ bytes: [UInt8], path: String) throws(TokenizationError) -> [Entry] {
        var entries: [Entry] = []
        for (index, line) in bytes.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
            if line.isEmpty || line.elementsEqual([0x0D]) { continue }
            guard let entry = entry(line) else {
                throw .malformed(
                    path: path, field: "line \(index + 1)", reason: "it is not a token in base64 and its rank")
            }
            entries.append(entry)
        }
        return entries
    }

    private static func entry(_ line: ArraySlice<UInt8>) -> Entry? {
        let parts = line.last == 0x0D ? line.dropLast().split(separator: 0x20) : line.split(separator: 0x20)
        guard parts.count == 2, let bytes = base64(parts[0]), !bytes.isEmpty,
            parts[1].allSatisfy({ (0x30...0x39).contains($0) }),
            let rank = Int(String(decoding: parts[1], as: UTF8.self)), rank <= Vocabulary.maximumID
        else { return nil }
        return (bytes, rank)
    }

    /// Makes the vocabulary and the model of tokens whose ids are their ranks and `firstID` more.
    ///
    /// - Parameter place: the file and the field of the tokens, for errors.
    static func model(
        _ entries: [Entry], firstID: Int = 0, _ place: (path: String, field: String)
    ) throws(TokenizationError) -> (Vocabulary, BytePairModel) {
        let malformed = { (reason: String) in
            TokenizationError.malformed(path: place.path, field: place.field, reason: reason)
        }
        var ids = ByteTable(minimumCapacity: entries.count)
        var rules = MergeRules(minimumCapacity: entries.count)
        let spelled = entries.map { entry in
            var spelling: [UInt8] = []
            ByteAlphabet.spell(entry.bytes, 0..<entry.bytes.count, into: &spelling)
            return (spelling, entry.rank + firstID)
        }
        let vocabulary: Vocabulary
        do {
            vocabulary = try Vocabulary(spelled)
        } catch {
            throw malformed(error.reason)
        }
        for entry in entries {
            _ = ids.insert(Int32(entry.rank + firstID), for: entry.bytes, 0..<entry.bytes.count)
        }
        for entry in entries {
            rules.addAll(making: Int32(entry.rank + firstID), spelled: entry.bytes, rank: entry.rank, ids)
        }
        guard let model = BytePairModel(byteLevel: vocabulary, rules, prefersWholes: true) else {
            throw malformed("some of the 256 bytes is no token")
        }
        return (vocabulary, model)
    }
}

/// What published tokenizers with rank files do that the files do not say.
private struct RankFamily {
    /// The splitting pattern of Qwen: words, single digits, punctuation and white space.
    static let singleDigits = pattern(digits: #"\p{N}"#)
    /// The splitting pattern of OpenAI's cl100k_base, Llama 3 and GLM-4, with up to three digits together.
    static let threeDigits = pattern(digits: #"\p{N}{1,3}"#)
    /// The splitting pattern of OpenAI's o200k_base and o200k_harmony, which splits words before capital letters.
    static let casedWords = [
        #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"#,
        #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"#,
        #"\p{N}{1,3}"#, #" ?[^\s\p{L}\p{N}]+[\r\n/]*"#, #"\s*[\r\n]+"#, #"\s+(?!\S)"#, #"\s+"#,
    ].joined(separator: "|")

    private static func pattern(digits: String) -> String {
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"# + digits
            + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    }

    /// The names of the family's files.
    var names: [String] = []
    /// The number of ranks in the family's files, where the name does not tell the family.
    var rankCount: Int?
    var pattern: String
    /// Whether texts are brought to Unicode's composed form first.
    var isComposed = false
    /// The special tokens, and the id of the first; nil for the id that follows the ranks.
    var specials: [String] = []
    var firstSpecial: Int?
    /// The special tokens that open every text.
    var before: [String] = []
    var begin: String?
    var end: String?

    /// The families, where a file belongs to the first that it fits.
    static let all = [
        // https://huggingface.co/tencent/Hunyuan-A13B-Instruct, hy.py and tokenization_hy.py.
        RankFamily(
            names: ["hy.tiktoken"], pattern: singleDigits, isComposed: true,
            specials: ["<|endoftext|>", "<|startoftext|>", "<|bos|>", "<|eos|>", "<|pad|>"] + extras(205),
            begin: "<|startoftext|>", end: "<|eos|>"),
        // https://github.com/openai/tiktoken, tiktoken_ext/openai_public.py.
        RankFamily(
            names: ["cl100k_base.tiktoken"], pattern: threeDigits,
            specials: ["<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"]
                + reserved("reserved", 100261..<100276) + ["<|endofprompt|>"],
            firstSpecial: 100257, end: "<|endoftext|>"),
        // The same file, openai_public.py; the names are those of o200k_harmony, which include those of o200k_base.
        RankFamily(
            names: ["o200k_base.tiktoken", "o200k_harmony.tiktoken"], pattern: casedWords,
            specials: named(
                [
                    199998: "<|startoftext|>", 199999: "<|endoftext|>", 200002: "<|return|>", 200003: "<|constrain|>",
                    200005: "<|channel|>", 200006: "<|start|>", 200007: "<|end|>", 200008: "<|message|>",
                    200012: "<|call|>", 200018: "<|endofprompt|>",
                ], in: 199998..<201088),
            firstSpecial: 199998, begin: "<|startoftext|>", end: "<|endoftext|>"),
        // https://huggingface.co/zai-org/glm-4-9b, tokenization_chatglm.py and tokenizer_config.json.
        RankFamily(
            rankCount: 151_329, pattern: threeDigits,
            specials: [
                "<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|system|>", "<|user|>",
                "<|assistant|>", "<|observation|>", "<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>",
                "<|end_of_video|>",
            ], before: glm4Opening, end: "<|endoftext|>"),
        // https://github.com/meta-llama/llama-models, models/llama3/tokenizer.py.
        RankFamily(
            rankCount: 128_000, pattern: threeDigits,
            specials: [
                "<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>",
                "<|reserved_special_token_1|>", "<|finetune_right_pad_id|>", "<|step_id|>", "<|start_header_id|>",
                "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>", "<|image|>",
            ] + reserved("reserved_special_token", 2..<246),
            before: ["<|begin_of_text|>"], begin: "<|begin_of_text|>", end: "<|end_of_text|>"),
        // The same repository, models/llama4/tokenizer.py.
        RankFamily(
            rankCount: 200_000, pattern: casedWords,
            specials: [
                "<|begin_of_text|>", "<|end_of_text|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>",
                "<|header_start|>", "<|header_end|>", "<|eom|>", "<|eot|>", "<|step|>",
            ] + reserved("text_post_train_reserved_special_token", 0..<6)
                + ["<|python_start|>", "<|python_end|>", "<|finetune_right_pad|>"]
                + reserved("text_post_train_reserved_special_token", 8..<69)
                + ["<|image_start|>", "<|image_end|>"] + reserved("vision_reserved_special_token", 0..<2)
                + ["<|tile_x_separator|>", "<|tile_y_separator|>"] + reserved("vision_reserved_special_token", 2..<6)
                + ["<|image|>", "<|vision_reserved_special_token_6|>", "<|patch|>"]
                + reserved("vision_reserved_special_token", 7..<1048)
                + reserved("reasoning_reserved_special_token", 0..<8)
                + ["<|reasoning_thinking_start|>", "<|reasoning_thinking_end|>"]
                + reserved("reserved_special_token", 0..<904),
            before: ["<|begin_of_text|>"], begin: "<|begin_of_text|>", end: "<|end_of_text|>"),
    ]

    /// The opening of every text of GLM-4, by its class in transformers.
    static let glm4Opening = ["[gMASK]", "<sop>"]

    /// QWen v1, and files that end in ".tiktoken" and have no name of their own here.
    ///
    /// Source: https://huggingface.co/Qwen/Qwen-7B, tokenization_qwen.py.
    static let qwen = RankFamily(
        names: ["qwen.tiktoken"], pattern: singleDigits, isComposed: true,
        specials: ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] + extras(205), end: "<|endoftext|>")

    /// Other files, such as small models in the form of Llama 3 and GLM-4.
    static let other = RankFamily(pattern: threeDigits)

    private static func extras(_ count: Int) -> [String] { (0..<count).map { "<|extra_\($0)|>" } }

    private static func reserved(_ name: String, _ numbers: Range<Int>) -> [String] {
        numbers.map { "<|\(name)_\($0)|>" }
    }

    private static func named(_ names: [Int: String], in range: Range<Int>) -> [String] {
        range.map { names[$0] ?? "<|reserved_\($0)|>" }
    }
}

extension TokenizerDescription {
    /// Takes a rank file, and what is known of its family.
    init(ranks bytes: [UInt8], _ location: TokenizerLocation) throws(TokenizationError) {
        let entries = try RankFile.entries(bytes, path: location.main)
        let (vocabulary, model) = try RankFile.model(entries, (location.main, "the file"))
        self.init(vocabulary, .bytePair(model), decoder: PieceDecoder([ByteLevelDecoding()]))
        let settings = try TokenizerSettings(beside: location, withTokens: true)
        let family =
            RankFamily.all.first { $0.names.contains(location.name) || $0.rankCount == entries.count }
            ?? (location.name.hasSuffix(".tiktoken") ? RankFamily.qwen : RankFamily.other)
        if family.isComposed { normalizers = [.form(.nfc)] }
        preTokenizers = [try PreTokenizer.words(family.pattern, path: location.main)]

        var named = settings.tokens
        if named.isEmpty {
            let first = family.firstSpecial ?? vocabulary.count
            named = family.specials.enumerated().map { NamedToken($1, id: first + $0, for: location.main) }
        }
        // QWen normalizes a text before it looks for special tokens.
        addedTokens = try AddedToken.list(named, into: &self.vocabulary, family.isComposed ? .normalizedText : .text)
        let isGLM4 = settings.className == "ChatGLM4Tokenizer"
        postProcessor.begin(with: try ids(of: isGLM4 ? RankFamily.glm4Opening : family.before, location.main))
        beginSpelling = family.begin.map { Array($0.utf8) }
        endSpelling = family.end.map { Array($0.utf8) }
    }

    /// Takes Mistral's `tekken.json`: ranks, the pattern and the special tokens, whose ids come first.
    ///
    /// Source: https://github.com/mistralai/mistral-common, `tokens/tokenizers/tekken.py`.
    init(tekken file: FileField, beside location: TokenizerLocation) throws(TokenizationError) {
        let configuration = try file["config"]
        // Published files have 1,000; each special token takes memory, also those that the file does not name.
        let specialCount = try configuration["default_num_special_tokens"].integer(in: 0...1 << 16)
        let size = try configuration["default_vocab_size"].integer(in: specialCount...Vocabulary.maximumID)
        let list = try file["vocab"]
        let elements = try list.elements()
        guard size - specialCount <= elements.count else {
            throw list.malformed("it has \(elements.count) tokens, fewer than default_vocab_size says")
        }
        var entries: [RankFile.Entry] = []
        for (rank, element) in elements.prefix(size - specialCount).enumerated() {
            guard let bytes = base64(try element["token_bytes"].bytes()[...]), !bytes.isEmpty else {
                throw try element["token_bytes"].malformed("it is not base64")
            }
            guard try element["rank"].integer(in: 0...Vocabulary.maximumID) == rank else {
                throw try element["rank"].malformed("the ranks must follow each other from 0 on")
            }
            entries.append((bytes, rank))
        }
        let (vocabulary, model) = try RankFile.model(entries, firstID: specialCount, (location.main, "vocab"))
        self.init(vocabulary, .bytePair(model), decoder: PieceDecoder([ByteLevelDecoding()]))
        preTokenizers = [try PreTokenizer.words(try configuration["pattern"])]

        var named: [NamedToken] = []
        let specials = try file["special_tokens"]
        if specials.isAbsent {
            named = Self.oldTekkenTokens.enumerated().map { NamedToken($1, id: $0, for: location.main) }
        } else {
            for element in try specials.elements() {
                let id = try element["rank"].integer(in: 0...max(0, specialCount - 1))
                named.append(NamedToken(try element["token_str"].bytes(), id: id, in: element, flags: nil))
            }
        }
        guard named.count <= specialCount else { throw specials.malformed("it has more than \(specialCount) tokens") }
        for id in named.count..<specialCount where id < vocabulary.count {
            named.append(NamedToken("<SPECIAL_\(id)>", id: id, for: location.main))
        }
        addedTokens = try AddedToken.list(named, into: &self.vocabulary, .text)
        (beginSpelling, endSpelling) = (Array("<s>".utf8), Array("</s>".utf8))
        if self.vocabulary.id(of: Array("<s>".utf8)) != nil {
            postProcessor.begin(with: try ids(of: ["<s>"], location.main))
        }
    }

    /// The special tokens of files that list none, which are those up to version 7.
    private static let oldTekkenTokens = [
        "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
        "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]",
        "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]",
    ]

    /// Takes `vocab.json` with the `merges.txt` beside it, which GPT-2 introduced.
    init(vocabulary file: FileField, beside location: TokenizerLocation) throws(TokenizationError) {
        let vocabulary = try Vocabulary(file)
        let path = location.path(of: "merges.txt")
        let rules = try Self.rules(try readFile(path), vocabulary, path: path)
        guard let model = BytePairModel(byteLevel: vocabulary, rules, prefersWholes: false) else {
            throw file.unsupported("a vocabulary without the 256 characters of the byte alphabet")
        }
        self.init(vocabulary, .bytePair(model), decoder: PieceDecoder([ByteLevelDecoding()]))
        let settings = try TokenizerSettings(beside: location, withTokens: true)
        if settings.addsPrefixSpace == true { preTokenizers.append(.prefixSpace) }
        // Source: transformers, models/qwen2/tokenization_qwen2.py.
        let isQwen2 = settings.className?.hasPrefix("Qwen2") == true
        if let name = settings.className, !isQwen2, !["GPT2", "CodeGen", "PreTrained"].contains(where: name.hasPrefix) {
            throw file.unsupported("the class \(quoted(name)) with such a vocabulary")
        }
        if isQwen2 { normalizers = [.form(.nfc)] }
        preTokenizers.append(
            try PreTokenizer.words(isQwen2 ? RankFamily.singleDigits : PreTokenizer.gpt2Words, path: location.main))
        var named = settings.tokens
        let end = "<|endoftext|>"
        if named.isEmpty, vocabulary.id(of: Array(end.utf8)) != nil {
            named = [NamedToken(end, id: nil, for: location.main)]
        }
        addedTokens = try AddedToken.list(named, into: &self.vocabulary, .text)
        endSpelling = Array(end.utf8)
    }

    private static func rules(
        _ bytes: [UInt8], _ vocabulary: Vocabulary, path: String
    ) throws(TokenizationError) -> MergeRules {
        var rules = MergeRules(minimumCapacity: bytes.count / 8)
        for (index, line) in bytes.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
            if line.isEmpty || line.starts(with: "#version".utf8) { continue }
            let parts = line.split(separator: 0x20, omittingEmptySubsequences: false)
            let fail = { (reason: String) in
                TokenizationError.malformed(path: path, field: "line \(index + 1)", reason: reason)
            }
            guard parts.count == 2 else { throw fail("it is not a pair of tokens") }
            do {
                try rules.add(Array(parts[0]), Array(parts[1]), rank: index, vocabulary, prefixCount: 0)
            } catch {
                throw fail(error.reason)
            }
        }
        return rules
    }

    /// The ids of tokens that a published tokenizer puts around a text.
    func ids(of names: [String], _ path: String) throws(TokenizationError) -> [TokenID] {
        var ids: [TokenID] = []
        for name in names {
            guard let id = vocabulary.id(of: Array(name.utf8)) else {
                throw .malformed(
                    path: path, field: "special tokens", reason: "\(quoted(name)), which opens every text, is missing")
            }
            ids.append(TokenID(id))
        }
        return ids
    }
}

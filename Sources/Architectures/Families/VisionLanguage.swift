// Models of several parts: a decoder of another family, and a vision tower whose size alone is known.

extension ModelFamily {
    /// LLaVA and others whose decoder is described under `text_config`.
    static let visionLanguage = ModelFamily(
        "llava", "llava_next", "gemma3", "gemma4", "llama4", "mistral3",
        models: "LLaVA, Gemma 3, Gemma 4, Llama 4, Mistral 3 with images (text part)"
    ) {
        file throws(ConfigurationError) in try description(ofPart: "text_config", of: file)
    }

    /// InternVL, whose decoder is described under `llm_config`.
    static let internVL = ModelFamily("internvl_chat", models: "InternVL (text part)") {
        file throws(ConfigurationError) in
        try description(ofPart: "llm_config", of: file)
    }

    /// MiniCPM-V, whose decoder is Qwen 2 and is described at the top level of the file.
    static let miniCPMV = ModelFamily("minicpmv", models: "MiniCPM-V (text part)") { file throws(ConfigurationError) in
        var model = try ModelFamily.qwen2.describe(file)
        model.decoder.companions = try file.companions(width: model.decoder.hiddenSize)
        return model
    }

    private static let partKeys = ["text_config", "llm_config"]

    private static func description(
        ofPart key: String, of file: ConfigurationFile
    ) throws(ConfigurationError) -> ModelDescription {
        guard let part = try file.optionalObject(key) else { throw file.unsupported(key, "it is missing") }
        // Nested parts could recurse without end.
        for inner in partKeys where part.has(inner) {
            throw part.unsupported(inner, "a model inside a model's part is not supported")
        }
        let family = try ModelFamily.named(by: part)
        // Files of models derived from Llama 2 7B or Mistral 7B leave out the values that these have.
        let defaults = part.has("hidden_size") ? nil : partDefaults[family.modelTypes[0]]
        var model = try family.describe(defaults.map { part.with($0) } ?? part)
        model.decoder.companions = try file.companions(width: model.decoder.hiddenSize)
        if !part.has("tie_word_embeddings"), let ties = try file.optionalBool("tie_word_embeddings") {
            model.decoder.tiesEmbeddings = ties
        }
        return model
    }

    private static let partDefaults: [String: [String: Int]] = [
        "llama": [
            "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "intermediate_size": 11008,
            "vocab_size": 32000, "max_position_embeddings": 2048,
        ],
        "mistral": [
            "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
            "intermediate_size": 14336, "vocab_size": 32000, "max_position_embeddings": 32768,
        ],
    ]
}

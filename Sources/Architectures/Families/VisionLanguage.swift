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

extension ConfigurationFile {
    /// The model's parts other than the decoder, with the sizes in the file, or else computed from the tower's shape.
    ///
    /// - Parameter width: the decoder's hidden size, to which the projector maps the tower's features.
    fileprivate func companions(width: Int) throws(ConfigurationError) -> [Companion] {
        let names = ["vision_tower", "projector"]
        if let given = try optionalObject("companion_parameters") {
            var companions: [Companion] = []
            for name in names {
                if let count = try given.optionalInteger(name, in: 0...1 << 40) {
                    companions.append(Companion(name: name, parameterCount: count))
                }
            }
            return companions
        }
        guard let vision = try optionalObject("vision_config"),
            let hidden = try vision.optionalInteger("hidden_size", in: DecoderReader.sizes),
            let wide = try vision.optionalInteger("intermediate_size", in: DecoderReader.sizes),
            let layers = try vision.optionalInteger("num_hidden_layers", in: 1...4096)
        else { return [] }
        // A vision transformer has four square and two wide matrices per layer, and a table for the patches.
        let patch = try vision.optionalInteger("patch_size", in: 1...1024) ?? 14
        let image = try vision.optionalInteger("image_size", in: patch...1 << 16) ?? 336
        let patches = (image / patch) * (image / patch) + 1
        let layer = 4 * (hidden * hidden + hidden) + 2 * hidden * wide + wide + 5 * hidden
        return [
            Companion(
                name: names[0], parameterCount: layers * layer + hidden * (3 * patch * patch + patches + 5)),
            // The projector has a matrix for the tower's features (InternVL joins those of four patches) and, except
            // in Gemma, a second one.
            Companion(
                name: names[1],
                parameterCount: try optionalString("model_type") == "gemma3"
                    ? hidden * width
                    : (try optionalString("model_type") == "internvl_chat" ? 4 : 1) * hidden * width + width * width
                        + 2 * width),
        ]
    }
}

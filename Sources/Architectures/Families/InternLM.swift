extension ModelFamily {
    /// The first InternLM: Llama with biases on query, key, value and output.
    static let internLM = ModelFamily("internlm", models: "InternLM 1 (original layout)") {
        file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.keys.keyValueHeadCount = nil
        reader.length = 2048
        var decoder = try reader.decoder()
        let hasBias = try file.optionalBool("bias") ?? true
        let rotary = try file.optionalObject("rotary")
        let base = try rotary?.optionalNumber("base", in: 1...1e15)
        let isDynamic = try rotary?.text("type", among: ["origin", "dynamic"]) == "dynamic"
        let factor = try rotary?.optionalNumber("scaling_factor", in: 1...1e6) ?? 1
        decoder.changeAttention { attention, _ in
            (attention.hasInputBias, attention.hasOutputBias) = (hasBias, hasBias)
            if let base { attention.rotation?.embedding.theta = base }
            if isDynamic { attention.rotation?.embedding.scaling = .dynamic(factor: factor) }
        }
        return ModelDescription(decoder, .huggingFace)
    }
}

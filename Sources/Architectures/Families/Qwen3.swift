import Tensors

extension ModelFamily {
    /// Llama with a norm for each head of queries and keys, and the windows of Qwen 2.
    static let qwen3 = ModelFamily("qwen3", models: "Qwen3, dense") { file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.length = 32_768
        reader.sizes = ["head_dim": 128]
        var decoder = try reader.decoder()
        let hasBias = try file.optionalBool("attention_bias") ?? false
        let windows = try file.qwenWindows(count: decoder.layers.count)
        let norm = QueryKeyNorm(.perHead, decoder.finalNorm)
        decoder.changeAttention { attention, layer in
            attention.queryKeyNorm = norm
            (attention.hasInputBias, attention.hasOutputBias) = (hasBias, hasBias)
            attention.window = windows[layer]
        }
        return ModelDescription(decoder, .huggingFace)
    }
}

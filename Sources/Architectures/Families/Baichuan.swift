import Tensors

extension ModelFamily {
    /// Llama with one matrix for query, key and value; the 13B models have ALiBi instead of rotary embedding.
    static let baichuan = ModelFamily("baichuan", models: "Baichuan 1, Baichuan 2 (original layout)") {
        file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.keys.keyValueHeadCount = nil
        reader.keys.lengths = ["max_position_embeddings", "model_max_length"]
        // Only the lack of this key identifies the 13B models.
        reader.isRotary = file.has("max_position_embeddings")
        var decoder = try reader.decoder()
        if !reader.isRotary { decoder.changeAttention { attention, _ in attention.scores.linearBias = LinearBias() } }
        // Baichuan 2 is identified by a vocabulary that is not Baichuan's.
        if decoder.vocabularySize != 64_000, try file.optionalStrings("architectures") != ["BaiChuanForCausalLM"] {
            decoder.head.normalizesRows = true
        }
        return ModelDescription(
            decoder, .huggingFace.replacing(.init("self_attn.W_pack", .query, .key, .value)))
    }
}

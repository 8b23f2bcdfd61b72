import Foundation
import Tensors

extension ModelFamily {
    /// Hunyuan, dense: Llama with norms of query and key heads after rotation.
    static let hunyuan = ModelFamily("hunyuan_v1_dense", models: "Hunyuan, dense") { file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.length = 2048
        reader.norm.epsilon = 1e-5
        var decoder = try reader.decoder()
        let hasBias = try file.optionalBool("attention_bias") ?? false
        var norm = QueryKeyNorm(.perHead, decoder.finalNorm)
        norm.isAfterRotation = true
        let alpha = try file.hunyuanAlpha()
        decoder.changeAttention { attention, _ in
            attention.queryKeyNorm = norm
            (attention.hasInputBias, attention.hasOutputBias) = (hasBias, hasBias)
            if let alpha, let rotation = attention.rotation {
                // "Dynamic" scaling is a larger base here, whatever the length.
                let power = Double(rotation.dimension) / Double(rotation.dimension - 2)
                attention.rotation?.embedding.theta *= pow(alpha, power)
                attention.rotation?.embedding.scaling = .none
            }
        }
        return ModelDescription(
            decoder,
            .huggingFace.replacing(
                .init("self_attn.query_layernorm", .queryNorm), .init("self_attn.key_layernorm", .keyNorm)))
    }
}

extension ConfigurationFile {
    fileprivate func hunyuanAlpha() throws(ConfigurationError) -> Double? {
        for key in ["rope_scaling", "rope_parameters"] {
            guard let object = try optionalObject(key) else { continue }
            if let alpha = try object.optionalNumber("alpha", in: 1...1e9) { return alpha }
        }
        return nil
    }
}

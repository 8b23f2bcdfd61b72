import Foundation
import Tensors

extension ModelFamily {
    /// Hunyuan, dense: Llama with norms of query and key heads after rotation.
    static let hunyuan = ModelFamily("hunyuan_v1_dense", models: "Hunyuan, dense") { file throws(ConfigurationError) in
        var reader = DecoderReader(file)
        reader.length = 2048
        reader.norm.epsilon = 1e-5
        let alpha = try file.hunyuanAlpha()
        reader.isRotary = alpha == nil
        var decoder = try reader.decoder()
        let hasBias = try file.optionalBool("attention_bias") ?? false
        var norm = QueryKeyNorm(.perHead, decoder.finalNorm)
        norm.isAfterRotation = true
        if let alpha { try decoder.rotate(alpha: alpha, reader) }
        decoder.changeAttention { attention, _ in
            attention.queryKeyNorm = norm
            (attention.hasInputBias, attention.hasOutputBias) = (hasBias, hasBias)
        }
        return ModelDescription(
            decoder,
            .huggingFace.replacing(
                .init("self_attn.query_layernorm", .queryNorm), .init("self_attn.key_layernorm", .keyNorm)))
    }
}

extension DecoderConfiguration {
    /// Gives all heads a larger base, which "dynamic" scaling is here, whatever the length.
    fileprivate mutating func rotate(alpha: Double, _ reader: DecoderReader) throws(ConfigurationError) {
        let dimension = layers[0].attention.headDimension
        var theta = try reader.file.optionalNumber("rope_theta", in: 1...1e15)
        for key in ["rope_scaling", "rope_parameters"] where theta == nil {
            theta = try reader.file.optionalObject(key)?.optionalNumber("rope_theta", in: 1...1e15)
        }
        let power = Double(dimension) / Double(dimension - 2)
        let rotation = try reader.rotation(
            dimension: dimension,
            RotaryEmbedding(theta: (theta ?? 10_000) * pow(alpha, power), trainedLength: try reader.trainedLength()))
        changeAttention { attention, _ in attention.rotation = rotation }
    }
}

extension ConfigurationFile {
    fileprivate func hunyuanAlpha() throws(ConfigurationError) -> Double? {
        for key in ["rope_scaling", "rope_parameters"] {
            guard let object = try optionalObject(key) else { continue }
            let older = try object.optionalString("type")
            guard try object.optionalString("rope_type") ?? older == "dynamic" else { continue }
            if let alpha = try object.optionalNumber("alpha", in: 1...1e9) { return alpha }
        }
        return nil
    }
}

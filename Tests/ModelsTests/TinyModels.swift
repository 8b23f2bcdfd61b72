import Architectures
import Foundation
import Models
import Quantization
import Tensors
import Weights

/// A model that a test can run.
protocol RunModel: Sendable, CustomStringConvertible {
    /// Opens the model: its configuration, the names of its tensors and its weights.
    func open() throws -> (decoder: DecoderConfiguration, names: TensorNames, weights: any WeightSource)
}

/// A model whose configuration has a few lines and awkward shapes, with weights generated from a seed.
struct TinyModel: RunModel {
    let name: String
    let json: String

    var description: String { name }

    func open() throws -> (decoder: DecoderConfiguration, names: TensorNames, weights: any WeightSource) {
        let model = try ModelDescription(ConfigurationFile(data: Data(json.utf8), path: name))
        return (model.decoder, model.names, SyntheticWeights(seed: 7, names: model.names, decoder: model.decoder))
    }

    /// Models with every kind of layer, and with shapes that are hard to shard.
    static let all: [TinyModel] = [
        TinyModel(
            name: "llama",
            json: """
                {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 8,
                 "num_key_value_heads": 4, "intermediate_size": 176, "vocab_size": 101, "max_position_embeddings": 512}
                """),
        TinyModel(
            name: "llama with biases, tied",
            json: """
                {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 8, "head_dim": 12,
                 "num_key_value_heads": 8, "intermediate_size": 256, "vocab_size": 64, "max_position_embeddings": 512,
                 "attention_bias": true, "mlp_bias": true, "tie_word_embeddings": true}
                """),
        TinyModel(
            name: "llama with six heads",
            json: """
                {"model_type": "llama", "hidden_size": 48, "num_hidden_layers": 5, "num_attention_heads": 6, "head_dim": 12,
                 "num_key_value_heads": 3, "intermediate_size": 136, "vocab_size": 77, "max_position_embeddings": 512}
                """),
        TinyModel(
            name: "mistral",
            json: """
                {"model_type": "mistral", "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 8,
                 "num_key_value_heads": 2, "intermediate_size": 176, "vocab_size": 101, "max_position_embeddings": 512,
                 "sliding_window": 7}
                """),
        TinyModel(
            name: "qwen2",
            json: """
                {"model_type": "qwen2", "hidden_size": 112, "num_hidden_layers": 3, "num_attention_heads": 14,
                 "num_key_value_heads": 2, "intermediate_size": 152, "vocab_size": 101, "max_position_embeddings": 512,
                 "tie_word_embeddings": true}
                """),
        TinyModel(
            name: "qwen3",
            json: """
                {"model_type": "qwen3", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 8, "head_dim": 12,
                 "num_key_value_heads": 2, "intermediate_size": 152, "vocab_size": 101, "max_position_embeddings": 512}
                """),
        TinyModel(
            name: "gemma2",
            json: """
                {"model_type": "gemma2", "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 8, "head_dim": 24,
                 "num_key_value_heads": 4, "intermediate_size": 136, "vocab_size": 101, "max_position_embeddings": 512,
                 "sliding_window": 9}
                """),
        TinyModel(
            name: "gemma3",
            json: """
                {"model_type": "gemma3_text", "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 8,
                 "head_dim": 16, "num_key_value_heads": 4, "intermediate_size": 136, "vocab_size": 101,
                 "sliding_window": 9, "sliding_window_pattern": 2}
                """),
        TinyModel(
            name: "gemma4",
            json: """
                {"model_type": "gemma4_text", "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 8,
                 "head_dim": 16, "global_head_dim": 24, "num_key_value_heads": 4, "num_global_key_value_heads": 2,
                 "attention_k_eq_v": true, "intermediate_size": 136, "vocab_size": 101, "sliding_window": 9,
                 "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
                 "rope_parameters": {"full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25}}}
                """),
        TinyModel(
            name: "gptneox",
            json: """
                {"model_type": "gpt_neox", "hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 8,
                 "intermediate_size": 200, "vocab_size": 101, "max_position_embeddings": 512, "rotary_pct": 0.5}
                """),
        TinyModel(
            name: "gptj",
            json: """
                {"model_type": "gptj", "n_embd": 96, "n_layer": 3, "n_head": 8, "rotary_dim": 6, "n_inner": 200,
                 "vocab_size": 101, "n_positions": 512}
                """),
        TinyModel(
            name: "gpt2",
            json: """
                {"model_type": "gpt2", "n_embd": 96, "n_layer": 3, "n_head": 8, "vocab_size": 101, "n_positions": 512}
                """),
        TinyModel(
            name: "mpt",
            json: """
                {"model_type": "mpt", "d_model": 120, "n_layers": 3, "n_heads": 10, "vocab_size": 101, "max_seq_len": 512,
                 "attn_config": {"clip_qkv": 1.5}}
                """),
        TinyModel(
            name: "falcon",
            json: """
                {"model_type": "falcon", "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 8,
                 "vocab_size": 101, "new_decoder_architecture": true, "num_kv_heads": 2}
                """),
        TinyModel(
            name: "bloom",
            json: """
                {"model_type": "bloom", "hidden_size": 96, "n_layer": 2, "n_head": 8, "vocab_size": 101}
                """),
        TinyModel(
            name: "opt",
            json: """
                {"model_type": "opt", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 8, "ffn_dim": 176,
                 "vocab_size": 101, "max_position_embeddings": 512, "word_embed_proj_dim": 40}
                """),
        TinyModel(
            name: "olmo2",
            json: """
                {"model_type": "olmo2", "hidden_size": 96, "num_hidden_layers": 2, "num_attention_heads": 8,
                 "num_key_value_heads": 2, "intermediate_size": 176, "vocab_size": 101, "max_position_embeddings": 512}
                """),
        TinyModel(
            name: "cohere",
            json: """
                {"model_type": "cohere", "hidden_size": 96, "num_hidden_layers": 2, "num_attention_heads": 8,
                 "num_key_value_heads": 4, "intermediate_size": 176, "vocab_size": 101, "max_position_embeddings": 512,
                 "use_qk_norm": true}
                """),
        TinyModel(
            name: "glm4",
            json: """
                {"model_type": "glm4", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 8, "head_dim": 16,
                 "num_key_value_heads": 2, "intermediate_size": 176, "vocab_size": 101, "max_position_embeddings": 512,
                 "attention_bias": true}
                """),
        TinyModel(
            name: "hunyuan",
            json: """
                {"model_type": "hunyuan_v1_dense", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 8,
                 "head_dim": 12, "num_key_value_heads": 2, "intermediate_size": 176, "vocab_size": 101}
                """),
        TinyModel(
            name: "apertus",
            json: """
                {"model_type": "apertus", "hidden_size": 96, "num_hidden_layers": 2, "num_attention_heads": 8,
                 "num_key_value_heads": 4, "intermediate_size": 200, "vocab_size": 101}
                """),
        TinyModel(
            name: "ministral3",
            json: """
                {"model_type": "ministral3", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 8,
                 "num_key_value_heads": 2, "intermediate_size": 136, "vocab_size": 101, "max_position_embeddings": 256,
                 "rope_parameters": {"rope_type": "yarn", "factor": 16, "original_max_position_embeddings": 16,
                 "llama_4_scaling_beta": 0.1}}
                """),
        TinyModel(
            name: "qwen",
            json: """
                {"model_type": "qwen", "hidden_size": 96, "num_hidden_layers": 2, "num_attention_heads": 8,
                 "intermediate_size": 272, "vocab_size": 101, "kv_channels": 12, "seq_length": 16,
                 "max_position_embeddings": 512}
                """),
        TinyModel(
            name: "phi3 with longrope",
            json: """
                {"model_type": "phi3", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 8,
                 "num_key_value_heads": 2, "intermediate_size": 136, "vocab_size": 101, "max_position_embeddings": 512,
                 "original_max_position_embeddings": 32, "rope_scaling": {"type": "longrope",
                 "short_factor": [1, 1.1, 1.2, 1.3], "long_factor": [1, 2, 3, 4]}}
                """),
        TinyModel(
            name: "baichuan2",
            json: """
                {"model_type": "baichuan", "hidden_size": 96, "num_hidden_layers": 2, "num_attention_heads": 8,
                 "intermediate_size": 136, "vocab_size": 101, "model_max_length": 512}
                """),
        TinyModel(
            name: "smollm3",
            json: """
                {"model_type": "smollm3", "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 8,
                 "num_key_value_heads": 2, "intermediate_size": 136, "vocab_size": 101, "no_rope_layers": [1, 0, 1, 1]}
                """),
    ]
}

/// The storage formats in which tests run the models.
enum TinyFormat: String, CaseIterable, Sendable {
    case float32
    case bfloat16
    case float16
    case int8
    case int4
    case int4Asymmetric
    case int8Channel

    func options() throws -> WeightOptions {
        func quantized(_ bits: Int, _ granularity: IntegerScheme.Granularity, symmetric: Bool = true) throws
            -> WeightOptions
        {
            let scheme = try IntegerScheme(bits: bits, granularity: granularity, isSymmetric: symmetric)
            return WeightOptions(quantization: .scheme(scheme), head: .sameAsLayers)
        }
        return switch self {
        case .float32: WeightOptions(floatType: .float32)
        case .bfloat16: WeightOptions(floatType: .bfloat16)
        case .float16: WeightOptions(floatType: .float16)
        case .int8: try quantized(8, .group(32))
        case .int4: try quantized(4, .group(32))
        case .int4Asymmetric: try quantized(4, .group(16), symmetric: false)
        case .int8Channel: try quantized(8, .channel)
        }
    }

    var isQuantized: Bool { [.int8, .int4, .int4Asymmetric, .int8Channel].contains(self) }
}

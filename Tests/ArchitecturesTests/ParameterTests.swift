import Testing
import Topology

@testable import Architectures

@Suite struct ParameterTests {
    // Sources: the parameter counts on the models' Hugging Face pages.
    @Test(arguments: [
        ("tinyllama-1.1b", 1_100_048_384), ("llama2-7b", 6_738_415_616), ("llama2-13b", 13_015_864_320),
        ("llama2-70b", 68_976_648_192), ("llama3-8b", 8_030_261_248), ("llama3-70b", 70_553_706_496),
        ("llama3.2-1b", 1_235_814_400), ("llama3.2-3b", 3_212_749_824), ("mistral-7b", 7_241_732_096),
        ("qwen2-0.5b", 494_032_768), ("qwen2-7b", 7_615_616_512),
    ])
    func inventoriesCountWhatIsPublished(name: String, count: Int) throws {
        #expect(try catalogued(name).parameters().reduce(0) { $0 + $1.count } == count)
    }

    @Test func everyModelOfTheCatalogueIsRead() throws {
        #expect(Set(ModelCatalogue.names).count == ModelCatalogue.names.count)
        for name in ModelCatalogue.names { _ = try catalogued(name) }
        #expect(ModelCatalogue.entry(named: "no such model") == nil)
        #expect(ModelCatalogue.entry(named: "LLAMA2-7B")?.name == "llama2-7b")
    }

    @Test func inventoryOfASmallModel() throws {
        var configuration = try decoder(smallConfiguration("qwen2", ["num_hidden_layers": "1"]))
        let expected: [Parameter] = [
            Parameter(name: .embedding, role: .table, shape: [160, 64], sharding: .vocabulary),
            Parameter(name: .attentionNorm(layer: 0), role: .norm, shape: [64], sharding: .replicated),
            Parameter(name: .query(layer: 0), role: .matrix, shape: [64, 64], sharding: .heads(.query)),
            Parameter(name: .query(layer: 0), role: .bias, shape: [64], sharding: .heads(.query)),
            Parameter(name: .key(layer: 0), role: .matrix, shape: [32, 64], sharding: .heads(.keyValue)),
            Parameter(name: .key(layer: 0), role: .bias, shape: [32], sharding: .heads(.keyValue)),
            Parameter(name: .value(layer: 0), role: .matrix, shape: [32, 64], sharding: .heads(.keyValue)),
            Parameter(name: .value(layer: 0), role: .bias, shape: [32], sharding: .heads(.keyValue)),
            Parameter(name: .attentionOutput(layer: 0), role: .matrix, shape: [64, 64], sharding: .row),
            Parameter(name: .feedForwardNorm(layer: 0), role: .norm, shape: [64], sharding: .replicated),
            Parameter(name: .gate(layer: 0), role: .matrix, shape: [96, 64], sharding: .column),
            Parameter(name: .up(layer: 0), role: .matrix, shape: [96, 64], sharding: .column),
            Parameter(name: .down(layer: 0), role: .matrix, shape: [64, 96], sharding: .row),
            Parameter(name: .finalNorm, role: .norm, shape: [64], sharding: .replicated),
            Parameter(name: .head, role: .matrix, shape: [160, 64], sharding: .vocabulary),
        ]
        #expect(configuration.parameters() == expected)
        // A tied head has no entry of its own.
        configuration.tiesEmbeddings = true
        #expect(configuration.parameters() == expected.dropLast())
        // Every rank adds the bias after the all-reduce, so all of them hold it.
        configuration.changeAttention { attention, _ in attention.hasOutputBias = true }
        configuration.changeFeedForward { $0.hasBias = true }
        let biases = configuration.parameters().filter { $0.role == .bias }
        #expect(biases.first { $0.name == .attentionOutput(layer: 0) }?.sharding == .replicated)
        #expect(biases.first { $0.name == .down(layer: 0) }?.sharding == .replicated)
        #expect(biases.first { $0.name == .gate(layer: 0) }?.sharding == .column)
    }

    @Test func parametersHaveNamesOfTheirOwnAndAPlaceInTheModel() throws {
        for name in ModelCatalogue.names {
            let model = try ModelDescription(#require(ModelCatalogue.entry(named: name)).configuration)
            let decoder = model.decoder
            let parameters = decoder.parameters()
            #expect(Set(parameters.map { "\($0.name).\($0.role)" }).count == parameters.count)
            // Parameters are listed in execution order.
            let layers = parameters.compactMap(\.name.layer)
            #expect(layers == layers.sorted() && Set(layers) == Set(decoder.layers.indices))
        }
    }
}

/// The decoder of a model of the catalogue.
func catalogued(_ name: String) throws -> DecoderConfiguration {
    try #require(ModelCatalogue.entry(named: name)).decoder()
}

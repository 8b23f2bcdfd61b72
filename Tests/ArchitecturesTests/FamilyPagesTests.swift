import Foundation
import TestSupport
import Testing

@testable import Architectures

/// The pages about families say what the code does.
@Suite struct FamilyPagesTests {
    private func text(_ path: String) throws -> String {
        try String(contentsOfFile: "\(ProgramRun.repositoryPath)/\(path)", encoding: .utf8)
    }

    @Test func theReadmeHasTheTableOfTheRegistry() throws {
        let readme = try text("README.md")
        let after = try #require(readme.components(separatedBy: "<!-- families -->\n").dropFirst().first)
        let table = try #require(after.components(separatedBy: "\n<!-- end -->").first)
        #expect(table == ModelFamily.table, "copy what `sizing models --families` prints into README.md")
    }

    @Test func thePageHasTheExample() throws {
        let page = try text("Sources/Architectures/Documentation.docc/AddingAFamily.md")
        let after = try #require(page.components(separatedBy: "```swift\n").dropFirst().first)
        #expect(try after.components(separatedBy: "```").first == text("Tests/ArchitecturesTests/ExampleFamily.swift"))
    }

    @Test func theExampleWorks() throws {
        let file = try configurationFile(smallConfiguration("example", ["layer_norm_eps": "1e-6"]))
        let model = try ModelFamily.example.describe(file)
        #expect(model.decoder.layers.map { $0.attention.rotation == nil } == [false, false, true])
        #expect(model.decoder.finalNorm == NormConfiguration(kind: .layer, hasBias: true, epsilon: 1e-6))
        #expect(model.decoder.uncomputedFeatures == [])
        let value = try #require(model.decoder.parameters().first { $0.name == .value(layer: 1) && $0.role == .bias })
        let source = model.names.sources(of: value, in: model.decoder)
        #expect(source.map(\.tensor) == ["model.layers.1.self_attn.qkv_proj.bias"])
        #expect(source[0].rows.stored(0) == 64 + 32 && source[0].storedRows == 128)
    }

    /// What the table says of a family holds for its models in the catalogue.
    @Test func computedFamiliesAreComputed() throws {
        for entry in ModelCatalogue.entries {
            let decoder = try ModelDescription(entry.configuration).decoder
            // A model of several parts is as its decoder's family.
            let family = try #require(ModelFamily.all.first { $0.modelTypes.contains(decoder.modelType) })
            let missing = decoder.uncomputedFeatures
            #expect(missing.isEmpty == family.isComputed, "\(entry.name): \(missing)")
        }
    }
}

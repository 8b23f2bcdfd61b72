import Architectures
import Foundation
import Sizing
import TestSupport
import Testing

/// Reads a tab-separated file of `Tests/Golden` as rows keyed by the header's names.
func goldenTable(_ name: String) throws -> [[String: String]] {
    let path = "\(ProgramRun.repositoryPath)/Tests/Golden/\(name)"
    let lines = try String(contentsOfFile: path, encoding: .utf8).split(whereSeparator: \.isNewline).map {
        $0.split(separator: "\t").map(String.init)
    }
    let header = try #require(lines.first)
    return lines.dropFirst().map { Dictionary(uniqueKeysWithValues: zip(header, $0)) }
}

@Suite struct CatalogueTests {
    @Test func countsAreThoseOfTheGuidesModels() throws {
        let rows = try goldenTable("catalogue.tsv")
        #expect(rows.count == 52)
        for row in rows {
            let name = try #require(row["model"])
            let decoder = try #require(ModelCatalogue.entry(named: name), "\(name)").decoder()
            #expect(decoder.parameterCount == Int(row["parameters"] ?? ""), "\(name)")
            #expect(2 * decoder.cachedNumbersPerToken() == Int(row["kv_bytes_per_token_fp16"] ?? ""), "\(name)")
            #expect(
                2 * decoder.cachedNumbersPerToken(.expanded) == Int(row["kv_bytes_per_token_fp16_expanded"] ?? ""),
                "\(name)")
        }
    }

    @Test func countsAreWhatAuthorsPublish() throws {
        for entry in ModelCatalogue.entries {
            guard let published = entry.publishedParameterCount else { continue }
            let decoder = try entry.decoder()
            // If only the widths of a vision tower are known, its norms and adapters are estimated.
            let bound = decoder.companions.isEmpty ? 0.0005 : 0.001
            let difference = Double(decoder.parameterCount) / Double(published) - 1
            #expect(abs(difference) <= bound, "\(entry.name): \(difference)")
        }
    }

    @Test func tokensMeetOnlySomeExperts() throws {
        // The names 671B-A37B and 30B-A3B give the active parameters.
        let v3 = try #require(ModelCatalogue.entry(named: "deepseek-v3")).decoder()
        #expect((37...38).contains(v3.activeParameterCount / 1_000_000_000))
        let qwen = try #require(ModelCatalogue.entry(named: "qwen3-30b-a3b")).decoder()
        #expect(qwen.activeParameterCount / 1_000_000_000 == 3)
        let dense = try #require(ModelCatalogue.entry(named: "llama2-7b")).decoder()
        #expect(dense.activeParameterCount == dense.parameterCount)
    }
}

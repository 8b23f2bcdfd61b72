import Foundation
import TestSupport

/// A copy of the embedded model in a temporary folder, with changes to some of its files.
struct StoryModel {
    private let folder: TemporaryFolder
    var path: String { folder.path }

    /// - Parameter changes: the changes to JSON files, by file name.
    init(changing changes: [String: (inout [String: Any]) -> Void]) throws {
        folder = try TemporaryFolder()
        for name in try FileManager.default.contentsOfDirectory(atPath: embeddedModel) {
            let original = "\(embeddedModel)/\(name)"
            if let change = changes[name] {
                let data = try Data(contentsOf: URL(filePath: original))
                var object = try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? [:]
                change(&object)
                try folder.write(JSONSerialization.data(withJSONObject: object), to: name)
            } else {
                try FileManager.default.createSymbolicLink(
                    atPath: "\(folder.path)/\(name)", withDestinationPath: original)
            }
        }
    }
}

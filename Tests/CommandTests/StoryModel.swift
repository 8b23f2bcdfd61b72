import Foundation
import TestSupport

/// The embedded model in a folder of a test's own, some of whose files say something else.
struct StoryModel {
    private let folder: TemporaryFolder
    var path: String { folder.path }

    /// - Parameter changes: what becomes of each of these JSON files.
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

import Foundation
import TestSupport
import Testing

@testable import ModelOptions

@Suite struct HubCacheTests {
    /// The order in which huggingface_hub's constants.py looks.
    @Test func thePlaceFollowsTheEnvironment() {
        var environment = ["HOME": "/home/me"]
        func expect(
            _ path: String, _ key: String? = nil, _ value: String = "", location: SourceLocation = #_sourceLocation
        ) {
            if let key { environment[key] = value }
            #expect(HubCache(environment: environment).path == path, sourceLocation: location)
        }
        expect("/home/me/.cache/huggingface/hub")
        expect("/x/huggingface/hub", "XDG_CACHE_HOME", "/x")
        expect("/hf/hub", "HF_HOME", "/hf")
        expect("/home/me/hf/hub", "HF_HOME", "~/hf")
        expect("/old", "HUGGINGFACE_HUB_CACHE", "/old")
        expect("/new", "HF_HUB_CACHE", "/new")
        expect("/old", "HF_HUB_CACHE", "")
    }

    @Test func snapshots() throws {
        let folder = try TemporaryFolder()
        let cache = HubCache(environment: ["HF_HUB_CACHE": folder.path])
        let model = "\(folder.path)/models--org--name"
        func add(_ name: String, age: Double) throws {
            let path = "\(model)/snapshots/\(name)"
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            try FileManager.default.setAttributes(
                [.modificationDate: Date(timeIntervalSince1970: 1e9 - age)], ofItemAtPath: path)
        }
        #expect(cache.snapshot(organization: "org", name: "name") == nil)
        try add("aaa", age: 10)
        var found = try #require(cache.snapshot(organization: "org", name: "name"))
        #expect(found.directory == "\(model)/snapshots/aaa" && found.warning == nil)
        try add("bbb", age: 5)
        try add("ccc", age: 20)
        found = try #require(cache.snapshot(organization: "org", name: "name"))
        #expect(found.directory == "\(model)/snapshots/bbb")
        #expect(found.warning?.contains("3 snapshots") == true && found.warning?.contains("\"bbb\"") == true)
        // A reference counts if it leads somewhere, and never out of the folder.
        try FileManager.default.createDirectory(atPath: "\(model)/refs", withIntermediateDirectories: true)
        for (reference, directory) in [("ccc\n", "ccc"), ("gone", "bbb"), ("../..", "bbb"), ("", "bbb")] {
            _ = try folder.write(reference, to: "models--org--name/refs/main")
            #expect(cache.snapshot(organization: "org", name: "name")?.directory == "\(model)/snapshots/\(directory)")
        }
    }
}

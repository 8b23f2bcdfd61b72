import Checkpoints
import Foundation
import Glibc
import Messages
import ProgramEntry

/// Hugging Face's local cache of models, located as huggingface_hub does.
struct HubCache {
    /// The directory that holds `models--ORG--NAME`.
    let path: String

    /// Locates the cache by the environment.
    ///
    /// It is HF_HUB_CACHE, else HUGGINGFACE_HUB_CACHE, else `hub` in HF_HOME, else in XDG_CACHE_HOME/huggingface, else
    /// in ~/.cache/huggingface.
    init(environment: [String: String]) {
        let user = environment["HOME"] ?? ""
        func place(_ name: String) -> String? {
            guard let value = environment[name], !value.isEmpty else { return nil }
            return value == "~" || value.hasPrefix("~/") ? user + value.dropFirst() : value
        }
        let caches = place("XDG_CACHE_HOME") ?? "\(user)/.cache"
        let home = place("HF_HOME") ?? "\(caches)/huggingface"
        path = place("HF_HUB_CACHE") ?? place("HUGGINGFACE_HUB_CACHE") ?? "\(home)/hub"
    }

    /// The snapshot of a model that `refs/main` names, or the newest one if there is no such reference.
    ///
    /// - Returns: its directory, and a warning if the choice was ambiguous; nil if the model is not in the cache.
    func snapshot(organization: some StringProtocol, name: some StringProtocol) -> (
        directory: String, warning: String?
    )? {
        let model = "\(path)/models--\(organization)--\(name)"
        if let reference = FileManager.default.contents(atPath: "\(model)/refs/main") {
            let revision = String(decoding: reference.prefix(256), as: UTF8.self).filter { $0.isLetter || $0.isNumber }
            let directory = "\(model)/snapshots/\(revision)"
            if !revision.isEmpty, modified(directory) != nil { return (directory, nil) }
        }
        let found = ((try? FileManager.default.contentsOfDirectory(atPath: "\(model)/snapshots")) ?? [])
            .compactMap { name in modified("\(model)/snapshots/\(name)").map { (name: name, time: $0) } }
            .sorted { ($1.time.tv_sec, $1.time.tv_nsec, $0.name) < ($0.time.tv_sec, $0.time.tv_nsec, $1.name) }
        guard let newest = found.first else { return nil }
        let directory = "\(model)/snapshots/\(newest.name)"
        guard found.count > 1 else { return (directory, nil) }
        return (
            directory,
            "\(escaped(model)) has \(found.count) snapshots and no refs/main that names one; the newest is used: "
                + quoted(newest.name)
        )
    }

    /// The time when a directory was last modified; nil if it is not a directory.
    private func modified(_ directory: String) -> timespec? {
        var status = stat()
        guard stat(directory, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { return nil }
        return status.st_mtim
    }
}

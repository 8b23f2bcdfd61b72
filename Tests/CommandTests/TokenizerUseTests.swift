import Foundation
import TestSupport
import Testing

/// Token ids need no tokenizer, so an unusable one does not matter for them.
@Suite struct TokenizerUseTests {
    @Test func tokenIDsNeedNoTokenizer() throws {
        let checkpoint = try TestCheckpoint()
        try checkpoint.write(#"{"model": {"type": "Unheard"}}"#, to: "tokenizer.json")
        let outcome = try ProgramRun.run(
            "generate",
            [
                "--model", checkpoint.path, "--prompt-token-ids", "5,9", "--max-tokens", "2", "--temperature", "0",
                "--ignore-eos",
            ])
        #expect(outcome.status == 0 && outcome.output.split(separator: ",").count == 2, "\(outcome.errors)")
        #expect(outcome.errors.contains("warning") && outcome.errors.contains("Unheard"), "\(outcome.errors)")
        for more in [["--prompt", "Once"], ["--prompt-token-ids", "5", "--stop", "x"]] {
            try Refusal(65, naming: "Unheard").expect("generate", ["--model", checkpoint.path] + more)
        }
    }
}

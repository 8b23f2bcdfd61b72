import JSON

/// A chat template: a text with statements in the language of Jinja that makes a prompt of messages.
///
/// It gives what Python's Jinja 3.1 gives in the environment that transformers makes for chat templates: a sandbox
/// without changes to values, `trim_blocks`, `lstrip_blocks`, `break` and `continue`, the tag `generation`, the filter
/// `tojson` of `json.dumps`, and the functions `raise_exception` and `strftime_now`.
public struct Template: @unchecked Sendable {
    // Nothing writes to the tree after `init`, and the constants in it never change.
    private let statements: [Statement]
    private let scope: Scope
    private let function: Function

    /// Reads a template.
    ///
    /// - Throws: an error of kind `syntax`, `unsupported` or `limit`.
    public init(_ source: String) throws(TemplateError) {
        statements = try Parser.statements(of: source)
        (scope, function) = ScopeResolver.resolve(statements)
    }

    /// Renders the template.
    ///
    /// - Parameters:
    ///   - context: the variables; one that is not there is undefined, which differs from null.
    ///   - now: what `strftime_now` takes for the present.
    ///   - limits: what rendering may take.
    /// - Throws: an error of any kind but `syntax`; `raised` if the template refuses its input.
    public func render(
        _ context: [String: JSONValue], now: LocalTime, limits: RenderLimits = RenderLimits()
    ) throws(TemplateError) -> String {
        let renderer = try Renderer(context: context, clock: now, limits: limits)
        return try renderer.render(statements, scope, function)
    }
}

import Messages

/// Why a template cannot be read or rendered, and where in it.
public struct TemplateError: Error, Equatable, Sendable {
    public let kind: Kind
    /// What is wrong; for `raised`, exactly what the template says.
    public let message: String
    /// The line in the template, from 1.
    public let line: Int
    /// The column in that line, in Unicode scalars, from 1.
    public let column: Int

    /// What is wrong in general.
    public enum Kind: Equatable, Sendable {
        /// The template is not a correct one.
        case syntax
        /// It uses something that Jinja has and this module does not.
        case unsupported
        /// The template itself refuses its input with `raise_exception`.
        case raised
        /// It uses a value that is not defined.
        case undefined
        /// It uses what the sandbox forbids, such as a method that changes a list.
        case security
        /// An operation does not suit its values.
        case operation
        /// It takes more time or memory than it may.
        case limit
    }
}

extension TemplateError: CustomStringConvertible {
    /// One line that says what failed and where.
    public var description: String {
        "line \(line), column \(column) of the chat template: \(escaped(message))"
    }
}

/// A place in a template.
struct Position: Equatable {
    var line = 1
    var column = 1

    func error(_ kind: TemplateError.Kind, _ message: String) -> TemplateError {
        TemplateError(kind: kind, message: message, line: line, column: column)
    }
}

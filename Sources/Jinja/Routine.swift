/// A filter, a test, a method or a function, with the Python signature of its arguments.
///
/// `Filters.swift`, `Tests.swift`, `Methods.swift` and `Functions.swift` hold the tables of them.
struct Routine: Sendable {
    typealias Body = @Sendable (Renderer, Value, Arguments) throws(TemplateError) -> Value
    typealias BoundBody = @Sendable (Renderer, Value, Bound) throws(TemplateError) -> Value
    /// Takes the renderer, the value that the routine belongs to, and the arguments.
    let body: Body

    private init(body: @escaping Body) {
        self.body = body
    }

    /// A routine that takes any arguments.
    static func variadic(_ body: @escaping Body) -> Routine { Routine(body: body) }

    /// A routine with named parameters, of which the first `required` must be given.
    ///
    /// - Parameter positionalOnly: whether the names cannot be used in a call, as in most of Python's own methods.
    init(_ names: [Text] = [], required: Int = 0, positionalOnly: Bool = false, _ body: @escaping BoundBody) {
        self.body = { (renderer, value, arguments) throws(TemplateError) in
            let bound = try Bound(
                arguments, to: positionalOnly ? names.map { _ in "" } : names, required: required, renderer)
            return try body(renderer, value, bound)
        }
    }
}

/// Arguments in the order of the parameters.
struct Bound {
    /// nil for an argument that is not given.
    private var values: [Value?]
    private let renderer: Renderer

    fileprivate init(
        _ arguments: Arguments, to names: [Text], required: Int, _ renderer: Renderer
    ) throws(TemplateError) {
        self.renderer = renderer
        guard arguments.positional.count <= names.count else {
            throw renderer.error(
                .operation, "takes at most \(names.count) arguments (\(arguments.positional.count) given)")
        }
        values = arguments.positional
        values += Array(repeating: nil, count: names.count - values.count)
        for (name, value) in arguments.named {
            guard let index = names.firstIndex(of: name) else {
                throw renderer.error(.operation, "got an unexpected keyword argument '\(name.string)'")
            }
            guard values[index] == nil else {
                throw renderer.error(.operation, "got multiple values for argument '\(name.string)'")
            }
            values[index] = value
        }
        if let missing = values.prefix(required).firstIndex(where: { $0 == nil }) {
            throw renderer.error(.operation, "missing required argument \(missing + 1)")
        }
    }

    var depth: Int { values.lazy.compactMap { $0?.depth }.max() ?? 0 }

    subscript(index: Int) -> Value? { values[index] }

    /// The argument; nil also for none.
    func given(_ index: Int) -> Value? { values[index].flatMap { $0.isNone ? nil : $0 } }

    func isTrue(_ index: Int, default isTrue: Bool = false) -> Bool { values[index]?.isTrue ?? isTrue }

    /// The argument, which must be an integer.
    func integer(_ index: Int) throws(TemplateError) -> Int? {
        guard let value = values[index] else { return nil }
        return try renderer.integer(value)
    }

    /// The argument, which must be a text.
    func text(_ index: Int) throws(TemplateError) -> Text? {
        guard let value = values[index] else { return nil }
        return try renderer.string(value)
    }
}

extension Renderer {
    func integer(_ value: Value) throws(TemplateError) -> Int {
        if case .undefined(let undefined) = value { throw error(using: undefined) }
        guard let integer = value.integer else {
            throw error(.operation, "'\(value.typeName)' object cannot be interpreted as an integer")
        }
        return integer
    }

    func string(_ value: Value) throws(TemplateError) -> Text {
        if case .undefined(let undefined) = value { throw error(using: undefined) }
        guard let text = value.text else {
            throw error(.operation, "expected str instance, \(value.typeName) found")
        }
        return text
    }
}

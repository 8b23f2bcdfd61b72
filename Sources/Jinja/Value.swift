/// A value of a template.
///
/// Lists and dictionaries never change: the sandbox refuses all methods that would. What can change (a namespace, a
/// loop, an iterator) has a class.
enum Value {
    case undefined(Undefined)
    case none
    case bool(Bool)
    case integer(Int)
    /// An integer that does not fit an `Int`, as its digits; it can be printed and compared, not computed with.
    case largeInteger(Text)
    case float(Double)
    case string(Text)
    case list(Elements)
    case tuple(Elements)
    case dictionary(OrderedMap)
    /// The keys, values or items of a dictionary.
    case view(Elements)
    case range(IntegerRange)
    case iterator(LazyValues)
    case namespace(Namespace)
    case object(HostObject)
}

/// A value that is missing, and what to say if it is used.
final class Undefined {
    let message: String
    /// Whether it stands for an attribute that the sandbox hides.
    let isForbidden: Bool

    init(_ message: String, isForbidden: Bool = false) {
        self.message = message
        self.isForbidden = isForbidden
    }
}

/// The elements of a list, a tuple or a view.
final class Elements {
    let values: [Value]
    /// How deeply containers are nested in it; it is bounded, so that walking and freeing a value is.
    let depth: Int
    /// What Python calls the type, such as `dict_items`.
    let typeName: String
    /// The names of the elements; empty except for the groups of `groupby`.
    let fieldNames: [Text]

    init(_ values: [Value], depth: Int, typeName: String, fieldNames: [Text] = []) {
        self.values = values
        self.depth = depth
        self.typeName = typeName
        self.fieldNames = fieldNames
    }
}

/// A dictionary with its keys in order.
final class OrderedMap {
    typealias Entry = (key: Value, value: Value)
    let entries: [Entry]
    let depth: Int
    private let indices: [Key: Int]

    init(_ entries: [Entry], indices: [Key: Int], depth: Int) {
        self.entries = entries
        self.indices = indices
        self.depth = depth
    }

    subscript(key: Key) -> Value? { indices[key].map { entries[$0].value } }
}

/// What makes two keys of a dictionary the same: 1, 1.0 and true are one key in Python.
enum Key: Hashable {
    case undefined
    case none
    case integer(Int)
    case largeInteger(Text)
    case float(Double)
    case string(Text)
    case tuple([Key])
    case range(IntegerRange)
    case object(ObjectIdentifier)
}

/// What Python's `range` gives.
final class IntegerRange: Hashable {
    let start: Int
    let stop: Int
    let step: Int
    let count: Int

    /// - Parameter step: not 0.
    init(start: Int, stop: Int, step: Int) {
        self.start = start
        self.stop = stop
        self.step = step
        // The distance of two integers can exceed an `Int`, not a `UInt`.
        let distance = step > 0 ? UInt(bitPattern: stop &- start) : UInt(bitPattern: start &- stop)
        let isEmpty = step > 0 ? stop <= start : stop >= start
        count = isEmpty ? 0 : Int(clamping: (distance - 1) / step.magnitude + 1)
    }

    /// The integer at an index, or at one before or behind the last, for bounds.
    subscript(index: Int) -> Int { start &+ index &* step }

    static func == (left: IntegerRange, right: IntegerRange) -> Bool {
        left.count == right.count
            && (left.count == 0 || left.start == right.start && (left.count == 1 || left.step == right.step))
    }

    func hash(into hasher: inout Hasher) { hasher.combine(count) }
}

/// A source of values that can be read once: what Python's generators and iterators are.
final class LazyValues {
    typealias Pull = (Renderer) throws(TemplateError) -> Value?
    let depth: Int
    private let pull: Pull

    init(depth: Int, _ pull: @escaping Pull) {
        self.depth = depth
        self.pull = pull
    }

    func next(_ renderer: Renderer) throws(TemplateError) -> Value? { try pull(renderer) }
}

/// The object that `namespace()` makes: the only one whose attributes can be set.
final class Namespace: Linked {
    private(set) var attributes: [(name: Text, value: Value)] = []
    private var indices: [Text: Int] = [:]

    subscript(name: Text) -> Value? { indices[name].map { attributes[$0].value } }

    func set(_ name: Text, to value: Value) {
        if let index = indices[name] {
            attributes[index].value = value
        } else {
            indices[name] = attributes.count
            attributes.append((name, value))
        }
    }

    var isKept = false

    func clear() {
        attributes = []
        indices = [:]
    }
}

/// An object with attributes or a call that this module implements: a macro, a function, a method, a loop, a cycler.
final class HostObject {
    typealias Call = (Renderer, Arguments) throws(TemplateError) -> Value
    typealias Attribute = (Renderer, Text) throws(TemplateError) -> Value?
    let typeName: String
    /// How it is printed.
    let description: String
    let depth: Int
    let call: Call?
    let attribute: Attribute

    init(
        _ typeName: String, description: String? = nil, depth: Int = 0, call: Call? = nil,
        attribute: @escaping Attribute = { (_, _) throws(TemplateError) in nil }
    ) {
        self.typeName = typeName
        self.description = description ?? "\(typeName) object"
        self.depth = depth
        self.call = call
        self.attribute = attribute
    }
}

/// The arguments of a call.
struct Arguments {
    var positional: [Value] = []
    var named: [(name: Text, value: Value)] = []

    var depth: Int { max(positional.lazy.map(\.depth).max() ?? 0, named.lazy.map(\.value.depth).max() ?? 0) }
}

extension Value {
    static func string(_ text: String) -> Value { .string(Text(text)) }

    /// What Python calls the type.
    var typeName: String {
        switch self {
        case .undefined: "Undefined"
        case .none: "NoneType"
        case .bool: "bool"
        case .integer, .largeInteger: "int"
        case .float: "float"
        case .string(let text): text.isMarkup ? "Markup" : "str"
        case .list(let elements), .tuple(let elements), .view(let elements): elements.typeName
        case .dictionary: "dict"
        case .range: "range"
        case .iterator: "generator"
        case .namespace: "Namespace"
        case .object(let object): object.typeName
        }
    }

    /// How deeply containers are nested in it, or what it refers to.
    var depth: Int {
        switch self {
        case .undefined, .none, .bool, .integer, .largeInteger, .float, .string, .range, .namespace: 0
        case .list(let elements), .tuple(let elements), .view(let elements): elements.depth
        case .dictionary(let dictionary): dictionary.depth
        case .iterator(let iterator): iterator.depth
        case .object(let object): object.depth
        }
    }

    /// Whether a condition takes it for true.
    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .bool(let truth): truth
        case .integer(let number): number != 0
        case .float(let number): number != 0
        case .largeInteger, .iterator, .namespace, .object: true
        case .string(let text): text.count > 0
        case .list(let elements), .tuple(let elements), .view(let elements): !elements.values.isEmpty
        case .dictionary(let dictionary): !dictionary.entries.isEmpty
        case .range(let range): range.count > 0
        }
    }

    /// The integer, where Python takes a bool for one.
    var integer: Int? {
        switch self {
        case .integer(let number): number
        case .bool(let truth): truth ? 1 : 0
        case .undefined, .none, .largeInteger, .float, .string, .list, .tuple, .dictionary, .view, .range, .iterator,
            .namespace, .object:
            nil
        }
    }

    var text: Text? {
        if case .string(let text) = self { text } else { nil }
    }

    var isUndefined: Bool {
        if case .undefined = self { true } else { false }
    }

    var isNone: Bool {
        if case .none = self { true } else { false }
    }

    /// The key that it is in a dictionary; nil for a tuple, and for what Python calls unhashable.
    var simpleKey: Key? {
        switch self {
        case .undefined: .undefined
        case .none: Key.none
        case .bool(let truth): .integer(truth ? 1 : 0)
        case .integer(let number): .integer(number)
        case .largeInteger(let digits): .largeInteger(digits)
        case .float(let number): Int(exactly: number).map(Key.integer) ?? .float(number)
        case .string(let text): .string(text)
        case .range(let range): .range(range)
        case .iterator(let iterator): .object(ObjectIdentifier(iterator))
        case .namespace(let namespace): .object(ObjectIdentifier(namespace))
        case .object(let object): .object(ObjectIdentifier(object))
        case .list, .tuple, .dictionary, .view: nil
        }
    }
}

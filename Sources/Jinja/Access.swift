// Elements, items, slices and attributes of values.
extension Renderer {
    /// What a loop over a value gives, one by one.
    func iterator(over value: Value) throws(TemplateError) -> LazyValues {
        switch value {
        case .undefined: return try iterator(over: [])
        case .list(let elements), .tuple(let elements), .view(let elements):
            return try iterator(over: elements.values)
        case .dictionary(let dictionary): return try iterator(over: dictionary.entries.map(\.key))
        case .string(let text):
            var index = 0
            return LazyValues(depth: 1) { (_) throws(TemplateError) in
                guard index < text.count else { return nil }
                defer { index += 1 }
                return .string(Text([text.scalars[index]]))
            }
        case .range(let range):
            var index = 0
            return LazyValues(depth: 1) { (_) throws(TemplateError) in
                guard index < range.count else { return nil }
                defer { index += 1 }
                return .integer(range[index])
            }
        case .iterator(let iterator): return iterator
        case .none, .bool, .integer, .largeInteger, .float, .namespace, .object:
            throw error(.operation, "'\(value.typeName)' object is not iterable")
        }
    }

    /// All that a loop over a value gives.
    func elements(of value: Value) throws(TemplateError) -> [Value] {
        switch value {
        case .list(let elements), .tuple(let elements), .view(let elements):
            try spend(elements.values.count)
            return elements.values
        case .undefined, .none, .bool, .integer, .largeInteger, .float, .string, .dictionary, .range, .iterator,
            .namespace, .object:
            let source = try iterator(over: value)
            var values: [Value] = []
            while let element = try source.next(self) {
                try spend(RenderCost.element)
                values.append(element)
            }
            return values
        }
    }

    /// What `len` gives; nil if a value has no length.
    func length(of value: Value) -> Int? {
        switch value {
        case .undefined: 0
        case .string(let text): text.count
        case .list(let elements), .tuple(let elements), .view(let elements): elements.values.count
        case .dictionary(let dictionary): dictionary.entries.count
        case .range(let range): range.count
        case .none, .bool, .integer, .largeInteger, .float, .iterator, .namespace, .object: nil
        }
    }

    // MARK: Items

    /// What `value[index]` gives: an item, an attribute with that name, or an undefined value.
    func item(_ index: Value, of value: Value) throws(TemplateError) -> Value {
        if case .undefined(let undefined) = value { throw error(using: undefined) }
        try spend(index.text?.count ?? 1)
        if let item = try existingItem(index, of: value) { return item }
        if let name = index.text, let member = try member(name, of: value) { return member }
        guard let name = index.text else {
            let shown = try representation(of: index).string
            return .undefined(Undefined("\(value.objectName) has no element \(shown)"))
        }
        // A message needs no more of a long name.
        let shown = name[0..<min(name.count, FixedLimits.name)].representation
        return .undefined(Undefined("'\(value.objectName)' has no attribute \(shown)"))
    }

    private func existingItem(_ index: Value, of value: Value) throws(TemplateError) -> Value? {
        if case .dictionary(let dictionary) = value {
            return try keyIfHashable(index).flatMap { dictionary[$0] }
        }
        guard let index = index.integer, let length = length(of: value) else { return nil }
        let place = index < 0 ? index + length : index
        guard (0..<length).contains(place) else { return nil }
        switch value {
        case .string(let text): return .string(text[place..<(place + 1)])
        case .list(let elements), .tuple(let elements): return elements.values[place]
        case .range(let range): return .integer(range[place])
        case .undefined, .none, .bool, .integer, .largeInteger, .float, .dictionary, .view, .iterator, .namespace,
            .object:
            return nil
        }
    }

    func slice(
        _ value: Value, _ start: Value?, _ stop: Value?, _ step: Value?
    ) throws(TemplateError) -> Value {
        if case .undefined(let undefined) = value { throw error(using: undefined) }
        let (first, last, stride) = (try bound(start), try bound(stop), try bound(step) ?? 1)
        guard stride != 0 else { throw error(.operation, "slice step cannot be zero") }
        guard let length = length(of: value) else {
            throw error(.operation, "'\(value.typeName)' object is not subscriptable")
        }
        let (begin, end, count) = Self.slice(first, last, stride, length: length)
        switch value {
        case .string(let text):
            try spend(count)
            if stride == 1 { return .string(text[begin..<(begin + count)]) }
            return .string(Text((0..<count).map { text.scalars[begin + $0 * stride] }, isMarkup: text.isMarkup))
        case .list(let elements): return try list((0..<count).map { elements.values[begin + $0 * stride] })
        case .tuple(let elements): return try tuple((0..<count).map { elements.values[begin + $0 * stride] })
        case .range(let range):
            let step = range.step.multipliedReportingOverflow(by: stride)
            guard !step.overflow else { throw error(.limit, "integers beyond 64 bits are not computed with") }
            return .range(IntegerRange(start: range[begin], stop: range[end], step: step.partialValue))
        case .dictionary: throw error(.operation, "unhashable type: 'slice'")
        case .undefined, .none, .bool, .integer, .largeInteger, .float, .view, .iterator, .namespace, .object:
            throw error(.operation, "'\(value.typeName)' object is not subscriptable")
        }
    }

    private func bound(_ value: Value?) throws(TemplateError) -> Int? {
        guard let value, !value.isNone else { return nil }
        if case .undefined(let undefined) = value { throw error(using: undefined) }
        if case .largeInteger(let digits) = value { return digits.hasPrefix("-") ? .min : .max }
        guard let integer = value.integer else {
            throw error(.operation, "slice indices must be integers or None or have an __index__ method")
        }
        return integer
    }

    /// The first index, the index behind the last, and the number of elements of a slice with bounds anywhere.
    private static func slice(
        _ start: Int?, _ stop: Int?, _ step: Int, length: Int
    ) -> (begin: Int, end: Int, count: Int) {
        let limits = step > 0 ? 0...length : -1...(length - 1)
        func place(_ bound: Int) -> Int {
            let index = bound < 0 ? bound + length : bound
            return min(max(index, limits.lowerBound), max(limits.upperBound, limits.lowerBound))
        }
        let begin = start.map(place) ?? (step > 0 ? 0 : length - 1)
        let end = stop.map(place) ?? (step > 0 ? length : -1)
        let distance = step > 0 ? end - begin : begin - end
        guard distance > 0 else { return (begin, end, 0) }
        return (begin, end, 1 + Int((UInt(distance) - 1) / step.magnitude))
    }

    // MARK: Attributes

    /// What `value.name` gives: an attribute, an item with that key, or an undefined value.
    func attribute(_ name: Text, of value: Value) throws(TemplateError) -> Value {
        if case .undefined(let undefined) = value { throw error(using: undefined) }
        if let member = try member(name, of: value) { return member }
        if case .dictionary(let dictionary) = value, let item = dictionary[.string(name)] { return item }
        return .undefined(Undefined("'\(value.objectName)' has no attribute \(name.representation)"))
    }

    /// An attribute in Python's sense; nil if there is none.
    func member(_ name: Text, of value: Value) throws(TemplateError) -> Value? {
        let found: Value?
        switch value {
        case .namespace(let namespace): found = namespace[name]
        case .object(let object): found = try object.attribute(self, name)
        case .tuple(let elements):
            found =
                if let index = elements.fieldNames.firstIndex(of: name) {
                    elements.values[index]
                } else {
                    try method(name, of: value)
                }
        case .undefined, .none, .bool, .integer, .largeInteger, .float, .string, .list, .dictionary, .view, .range,
            .iterator:
            found = try method(name, of: value)
        }
        let isPrivate = name.hasPrefix("_") && (found != nil || Self.isSpecial(name))
        guard isPrivate || Routine.changes(value, name) else { return found }
        let message =
            "access to attribute \(name.representation) of '\(value.typeName)' object is unsafe."
        return .undefined(Undefined(message, isForbidden: true))
    }

    /// Whether every object of Python has an attribute with that name.
    private static func isSpecial(_ name: Text) -> Bool { ["__class__", "__init__", "__doc__"].contains(name) }

    private func method(_ name: Text, of value: Value) throws(TemplateError) -> Value? {
        guard let routine = Routine.method(name, of: value) else { return nil }
        let object = HostObject(
            "builtin_function_or_method", depth: try depth(containing: value.depth)
        ) { (renderer, arguments) throws(TemplateError) in try routine.body(renderer, value, arguments) }
        return .object(object)
    }
}

extension Value {
    /// What messages about undefined values call it.
    fileprivate var objectName: String {
        switch self {
        case .none: "None"
        case .namespace: "jinja2.utils.Namespace object"
        case .undefined, .bool, .integer, .largeInteger, .float, .string, .list, .tuple, .dictionary, .view, .range,
            .iterator, .object:
            "\(typeName) object"
        }
    }
}

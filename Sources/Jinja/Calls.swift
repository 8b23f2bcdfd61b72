// Loops, and the calls of macros.

/// A loop that runs: what the variable `loop` tells.
private final class LoopState: Linked {
    private var source: LazyValues
    private var count: Int?
    /// The calls of a recursive loop around this one.
    private let depth: Int
    private var index = -1
    private var before: Value?
    private var current: Value?
    /// The value after the current one, if it has been looked at.
    private var after: Value?
    private var changedValues: [Value]?
    var isKept = false

    init(_ source: LazyValues, count: Int?, depth: Int) {
        self.source = source
        self.count = count
        self.depth = depth
    }

    func clear() { changedValues = nil }

    func next(_ renderer: Renderer) throws(TemplateError) -> Value? {
        guard let value = try peek(renderer) else { return nil }
        after = nil
        index += 1
        before = current
        current = value
        return value
    }

    private func peek(_ renderer: Renderer) throws(TemplateError) -> Value? {
        if after == nil { after = try source.next(renderer) }
        return after
    }

    private func length(_ renderer: Renderer) throws(TemplateError) -> Int {
        if let count { return count }
        // Values that come one by one are read to the end, as Jinja does.
        var rest: [Value] = []
        while let value = try peek(renderer) {
            try renderer.spend(RenderCost.element)
            rest.append(value)
            after = nil
        }
        source = try renderer.iterator(over: rest)
        let total = index + 1 + rest.count
        count = total
        return total
    }

    func attribute(_ renderer: Renderer, _ name: Text) throws(TemplateError) -> Value? {
        switch name {
        case "index": .integer(index + 1)
        case "index0": .integer(index)
        case "revindex": .integer(try length(renderer) - index)
        case "revindex0": .integer(try length(renderer) - index - 1)
        case "first": .bool(index == 0)
        case "last": .bool(try peek(renderer) == nil)
        case "length": .integer(try length(renderer))
        case "depth": .integer(depth + 1)
        case "depth0": .integer(depth)
        case "previtem": before ?? .undefined(Undefined("there is no previous item"))
        case "nextitem": try peek(renderer) ?? .undefined(Undefined("there is no next item"))
        case "cycle":
            method { [index] (renderer, arguments) throws(TemplateError) in
                guard !arguments.positional.isEmpty else {
                    throw renderer.error(.operation, "no items for cycling given")
                }
                return arguments.positional[index % arguments.positional.count]
            }
        case "changed":
            method { [self] (renderer, arguments) throws(TemplateError) in
                renderer.keep(self)
                if let last = changedValues, try renderer.areEqual(last, arguments.positional) { return .bool(false) }
                changedValues = arguments.positional
                return .bool(true)
            }
        default: nil
        }
    }

    private func method(_ call: @escaping HostObject.Call) -> Value {
        .object(HostObject("method", depth: source.depth + 1, call: call))
    }
}

extension Renderer {
    func execute(_ loop: Loop, _ activation: Activation) throws(TemplateError) -> Flow {
        let values = try evaluate(loop.values, activation)
        position = loop.position
        guard loop.function == nil else {
            try write(try recursive(loop, over: values, activation, depth: 0))
            return .next
        }
        return try run(loop, over: values, activation, depth: 0, recurse: Self.refuseRecursion)
    }

    /// Runs a recursive loop as the function that it is; `activation` is the one around it.
    private func recursive(
        _ loop: Loop, over values: Value, _ activation: Activation, depth: Int
    ) throws(TemplateError) -> Text {
        keep(activation)
        let inner = try makeActivation(loop.function?.slotCount ?? 0, parent: activation)
        return try capture { () throws(TemplateError) in
            try run(loop, over: values, inner, depth: depth) { (renderer, arguments) throws(TemplateError) in
                guard let values = arguments.positional.first, arguments.positional.count == 1 else {
                    throw renderer.error(.operation, "a loop is called with one argument")
                }
                return .string(try renderer.recursive(loop, over: values, activation, depth: depth + 1))
            }
        }.text
    }

    private func run(
        _ loop: Loop, over values: Value, _ activation: Activation, depth: Int, recurse: @escaping HostObject.Call
    ) throws(TemplateError) -> Flow {
        var source = try iterator(over: values)
        var count = length(of: values)
        if let filter = loop.filter {
            count = nil
            // The test refers to the activation, which refers to the loop.
            keep(activation)
            source = try iterator(over: source) { (renderer, value) throws(TemplateError) in
                try renderer.assign(value, to: filter.target, activation)
                renderer.enter(filter.scope, activation)
                return try renderer.evaluate(filter.test, activation).isTrue ? value : nil
            }
        }
        let state = LoopState(source, count: count, depth: depth)
        let object = HostObject(
            "LoopContext", depth: try self.depth(containing: source.depth),
            call: recurse, attribute: state.attribute)
        var isEmpty = true
        while let value = try state.next(self) {
            try step()
            try assign(value, to: loop.target, activation)
            set(loop.state.slot, to: .object(object), activation)
            enter(loop.body.scope, activation)
            let flow = try nested { () throws(TemplateError) in try execute(loop.body.statements, activation) }
            if flow == .breakLoop { break }
            // Jinja renders the `else` part also if `continue` or `break` has ended every round.
            if flow == .next { isEmpty = false }
        }
        guard isEmpty, let otherwise = loop.otherwise else { return .next }
        enter(otherwise.scope, activation)
        return try nested { () throws(TemplateError) in try execute(otherwise.statements, activation) }
    }

    private static func refuseRecursion(
        _ renderer: Renderer, _ arguments: Arguments
    ) throws(TemplateError) -> Value {
        throw renderer.error(.operation, "The loop must have the 'recursive' marker to be called recursively.")
    }

    private func makeActivation(_ slotCount: Int, parent: Activation) throws(TemplateError) -> Activation {
        try spend(RenderCost.object)
        try spend(slotCount, each: RenderCost.element)
        return Activation(slotCount: slotCount, parent: parent)
    }

    /// A macro as a value; it refers to the variables around its definition.
    func callable(_ macro: Macro, _ activation: Activation) -> HostObject {
        keep(activation)
        let name = macro.name.map { Text($0.scalars).representation } ?? "anonymous"
        return HostObject("Macro", description: "Macro \(name)") { (renderer, arguments) throws(TemplateError) in
            .string(try renderer.invoke(macro, arguments, parent: activation))
        }
    }

    /// Calls a macro; `parent` is the activation that it was defined in.
    func invoke(_ macro: Macro, _ arguments: Arguments, parent: Activation) throws(TemplateError) -> Text {
        let activation = try makeActivation(macro.function.slotCount, parent: parent)
        try bind(arguments, to: macro, activation)
        enter(macro.body.scope, activation)
        for (variable, defaultValue) in macro.parameters where activation.slots[variable.slot.index] == nil {
            let value =
                if let defaultValue {
                    try evaluate(defaultValue, activation)
                } else {
                    Value.undefined(Undefined("parameter '\(variable.name.string)' was not provided"))
                }
            set(variable.slot, to: value, activation)
        }
        return try capture { () throws(TemplateError) in try execute(macro.body.statements, activation) }.text
    }

    private func bind(
        _ arguments: Arguments, to macro: Macro, _ activation: Activation
    ) throws(TemplateError) {
        var named = arguments.named
        func take(_ name: Text) -> Value? {
            named.firstIndex { $0.name == name }.map { named.remove(at: $0).value }
        }
        for (index, (variable, _)) in macro.parameters.enumerated() {
            let value = index < arguments.positional.count ? arguments.positional[index] : take(variable.name)
            activation.slots[variable.slot.index] = value
        }
        if let caller = macro.caller {
            let value = take("caller") ?? .undefined(Undefined("No caller defined"))
            set(caller.slot, to: value, activation)
        }
        let name = macro.name.map { "'\($0.string)'" } ?? "None"
        if let keywords = macro.keywords {
            let entries = named.map { (key: Value.string($0.name), value: $0.value) }
            set(keywords.slot, to: try dictionary(entries), activation)
        } else if let extra = named.first {
            throw error(.operation, "macro \(name) takes no keyword argument '\(extra.name.string)'")
        }
        if let rest = macro.rest {
            let extra = arguments.positional.dropFirst(macro.parameters.count)
            set(rest.slot, to: try tuple(Array(extra)), activation)
        } else if arguments.positional.count > macro.parameters.count {
            throw error(.operation, "macro \(name) takes not more than \(macro.parameters.count) argument(s)")
        }
    }
}

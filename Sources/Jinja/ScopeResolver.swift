/// Gives every variable its slot, with Jinja's rules of scope.
///
/// Jinja decides when it compiles a template which block owns a name: a block that assigns to a name has a variable of
/// its own, for all of the block, which starts as a copy of the enclosing block's variable. A name that no block
/// assigns to comes from the context. This follows `jinja2/idtracking.py`; rules that seem odd are from there, such as
/// that a name assigned at the top level, and never read before there, is undefined in the blocks before.
struct ScopeResolver {
    /// Resolves a whole template.
    ///
    /// - Returns: the variables at the top level, and the size of its activation.
    static func resolve(_ statements: [Statement]) -> (scope: Scope, function: Function) {
        let (scope, function) = (Scope(), Function())
        resolve(statements, in: Frame(scope, function: function, parent: nil))
        return (scope, function)
    }

    /// The variables of one block.
    private final class Frame {
        let scope: Scope
        let function: Function
        let parent: Frame?
        var names = Names()
        /// The slot of each name that the block owns, whatever branch it is in.
        var indices: [Text: Int] = [:]

        init(_ scope: Scope, function: Function, parent: Frame?) {
            self.scope = scope
            self.function = function
            self.parent = parent
        }

        func own(_ name: Text) -> Int {
            if let index = indices[name] { return index }
            defer { function.slotCount += 1 }
            indices[name] = function.slotCount
            return function.slotCount
        }

        /// Where a name is in this block, or in one that encloses it.
        func find(_ name: Text) -> Slot? {
            if names.known.contains(name), let index = indices[name] { return Slot(hops: 0, index: index) }
            return outer(name)
        }

        func outer(_ name: Text) -> Slot? {
            guard let parent, var slot = parent.find(name) else { return nil }
            if parent.function !== function { slot.hops += 1 }
            return slot
        }
    }

    /// What a block, or one branch in it, does with names.
    private struct Names {
        /// The names that the block owns.
        var known: Set<Text> = []
        /// Where their first values come from; parameters have none.
        var entries: [Text: Scope.Entry] = [:]
        var assigned: Set<Text> = []
    }

    private let frame: Frame

    // MARK: What a block does with names

    private func load(_ name: Text) {
        if frame.find(name) == nil { define(name, .context(name)) }
    }

    private func load(_ expression: Expression) { expression.forEachVariable { load($0.name) } }

    private func store(_ name: Text) {
        frame.names.assigned.insert(name)
        guard !frame.names.known.contains(name) else { return }
        define(name, frame.outer(name).map(Scope.Entry.copy) ?? .unset)
    }

    private func define(_ name: Text, _ entry: Scope.Entry?) {
        _ = frame.own(name)
        frame.names.known.insert(name)
        frame.names.entries[name] = entry
    }

    private func declareParameter(_ name: Text) {
        frame.names.assigned.insert(name)
        define(name, nil)
    }

    private func store(_ target: Target) {
        switch target {
        case .variable(let variable): store(variable.name)
        case .attribute(let variable, _): load(variable.name)
        case .tuple(let targets, _): for target in targets { store(target) }
        }
    }

    private func declareParameters(_ target: Target) {
        switch target {
        case .variable(let variable): declareParameter(variable.name)
        case .attribute(let variable, _): load(variable.name)
        case .tuple(let targets, _): for target in targets { declareParameters(target) }
        }
    }

    /// Notes the names that a statement reads and assigns in this block, in that order.
    ///
    /// It stops at inner blocks.
    private func note(_ statement: Statement) {
        switch statement {
        case .text, .generation, .breakLoop, .continueLoop: break
        case .output(let value, _): load(value)
        case .assign(let target, let value, _):
            load(value)
            store(target)
        case .capture(let target, _, _, _): store(target)
        case .branches(let branches, let otherwise): note(branches[...], otherwise)
        case .loop(let loop): load(loop.values)
        case .with(let bindings, _): for binding in bindings { load(binding.value) }
        case .filtered(let filters, _): load(filters)
        case .macro(let variable, _): store(variable.name)
        case .callBlock(let callee, let arguments, _, _):
            load(callee)
            arguments.forEachVariable { load($0.name) }
        }
    }

    private func load(_ filters: [Postfix]) {
        for filter in filters { filter.forEachVariable { load($0.name) } }
    }

    /// Notes branches: a name that only some of them assign keeps its value from outside in the others.
    private func note(_ branches: ArraySlice<(test: Expression, body: [Statement])>, _ otherwise: [Statement]) {
        guard let first = branches.first else { return }
        load(first.test)
        let before = frame.names
        func noting(_ body: () -> Void) -> Names {
            frame.names = before
            body()
            defer { frame.names = before }
            return frame.names
        }
        let outcomes = [
            noting { for statement in first.body { note(statement) } },
            // Each further test is seen in the light of those before it.
            noting { for index in branches.indices.dropFirst() { note(branches[index...index], []) } },
            noting { for statement in otherwise { note(statement) } },
        ]
        var assigned: Set<Text> = []
        for outcome in outcomes {
            assigned.formUnion(outcome.assigned.subtracting(before.assigned))
            frame.names.known.formUnion(outcome.known)
            frame.names.entries.merge(outcome.entries) { $1 }
            frame.names.assigned.formUnion(outcome.assigned)
        }
        for name in assigned { frame.names.entries[name] = frame.outer(name).map(Scope.Entry.copy) ?? .context(name) }
    }

    // MARK: Setting the slots

    /// Resolves the statements of a block after `prepare` has noted what comes before them.
    private static func resolve(
        _ statements: [Statement], in frame: Frame, prepare: (ScopeResolver) -> Void = { _ in }
    ) {
        let resolver = ScopeResolver(frame: frame)
        prepare(resolver)
        for statement in statements { resolver.note(statement) }
        resolver.finish()
        for statement in statements { resolver.resolve(statement) }
    }

    /// Writes down what is done when the block is entered.
    private func finish() {
        frame.scope.entries = frame.names.entries.compactMap { name, entry in
            frame.indices[name].map { (index: $0, entry: entry) }
        }
    }

    private func resolve(_ variable: Variable) {
        guard let slot = frame.find(variable.name) else {
            preconditionFailure("the variable \(variable.name.string) was not noted")
        }
        variable.slot = slot
    }

    private func resolve(_ expression: Expression) { expression.forEachVariable { resolve($0) } }

    private func resolve(_ target: Target) {
        switch target {
        case .variable(let variable), .attribute(let variable, _): resolve(variable)
        case .tuple(let targets, _): for target in targets { resolve(target) }
        }
    }

    private func resolve(_ filters: [Postfix]) {
        for filter in filters { filter.forEachVariable { resolve($0) } }
    }

    private func inner(_ scope: Scope, _ function: Function? = nil) -> Frame {
        Frame(scope, function: function ?? frame.function, parent: frame)
    }

    private func resolve(_ statement: Statement) {
        switch statement {
        case .text, .breakLoop, .continueLoop: break
        case .output(let value, _): resolve(value)
        case .assign(let target, let value, _):
            resolve(value)
            resolve(target)
        case .capture(let target, let filters, let block, _):
            resolve(target)
            resolve(block, filters)
        case .branches(let branches, let otherwise):
            for branch in branches {
                resolve(branch.test)
                for statement in branch.body { resolve(statement) }
            }
            for statement in otherwise { resolve(statement) }
        case .loop(let loop): resolve(loop)
        case .with(let bindings, let block):
            for binding in bindings { resolve(binding.value) }
            let frame = inner(block.scope)
            Self.resolve(block.statements, in: frame) { resolver in
                for binding in bindings { resolver.declareParameters(binding.target) }
            }
            for binding in bindings { ScopeResolver(frame: frame).resolve(binding.target) }
        case .filtered(let filters, let block): resolve(block, filters)
        case .macro(let variable, let macro):
            resolve(variable)
            resolve(macro)
        case .callBlock(let callee, let arguments, let macro, _):
            resolve(callee)
            arguments.forEachVariable { resolve($0) }
            resolve(macro)
        case .generation(let macro): resolve(macro)
        }
    }

    /// Resolves a block whose output goes through filters, which see its variables.
    private func resolve(_ block: Block, _ filters: [Postfix]) {
        let frame = inner(block.scope)
        Self.resolve(block.statements, in: frame) { $0.load(filters) }
        ScopeResolver(frame: frame).resolve(filters)
    }

    private func resolve(_ loop: Loop) {
        resolve(loop.values)
        if let filter = loop.filter {
            let resolver = ScopeResolver(frame: inner(filter.scope, loop.function))
            resolver.declareParameters(filter.target)
            resolver.load(filter.test)
            resolver.finish()
            resolver.resolve(filter.target)
            resolver.resolve(filter.test)
        }
        let frame = inner(loop.body.scope, loop.function)
        Self.resolve(loop.body.statements, in: frame) { resolver in
            resolver.declareParameter("loop")
            resolver.declareParameters(loop.target)
        }
        ScopeResolver(frame: frame).resolve(loop.target)
        ScopeResolver(frame: frame).resolve(loop.state)
        if let otherwise = loop.otherwise {
            Self.resolve(otherwise.statements, in: inner(otherwise.scope, loop.function))
        }
    }

    private func resolve(_ macro: Macro) {
        let frame = inner(macro.body.scope, macro.function)
        let special = [macro.caller, macro.keywords, macro.rest].compactMap { $0 }
        Self.resolve(macro.body.statements, in: frame) { resolver in
            for parameter in macro.parameters { resolver.declareParameter(parameter.variable.name) }
            for variable in special { resolver.declareParameter(variable.name) }
            for parameter in macro.parameters {
                if let value = parameter.defaultValue { resolver.load(value) }
            }
        }
        let resolver = ScopeResolver(frame: frame)
        for parameter in macro.parameters {
            resolver.resolve(parameter.variable)
            if let value = parameter.defaultValue { resolver.resolve(value) }
        }
        for variable in special { resolver.resolve(variable) }
    }
}

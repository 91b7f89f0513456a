//! The adapters of a component as machine code: which pairs there are, and what they
//! have in common.
//!
//! **Flags.** A call enters the callee's instance and its ancestors that the caller is not
//! in; each has a `may_enter` flag to be checked and set. It matters only for an instance
//! that could be entered again while it runs. Control leaves an instance towards instances
//! that were made before it, or towards ancestors; so it only comes back through an
//! ancestor's own code, which needs a `canon lower` or a `resource.drop` (whose destructor
//! is a call). If that ancestor is not the parent, the call enters the instance below the
//! ancestor too, whose flag was set on the way in. So an instance whose parent has neither
//! needs no flag. The host always finds the root's flag, which the host's own calls set.
//!
//! Not here: contexts (`context`).
//!
//! # Safety
//!
//! Addresses of code are kept beside the code, and belong to functions of the shapes asked
//! for, in their order.

use crate::component::drive;
use crate::core::engine::Engine;
use helve_abi::CanonBuiltin;
use helve_abi::flat::Side;
use helve_abi::types::{FuncTypeId, InterfaceType};
use helve_base::error::ErrorKind;
use helve_base::id::SharedTypeId;
use helve_base::vmctx::CodePtr;
use helve_base::{PrimaryMap, Result, ensure};
use helve_compile::CompiledModule;
use helve_compile::artifact_file::StoredModule;
use helve_compile::component::{
    AdapterShape, CompiledAdapters, ContextSlots, LiftAbi, Piece, SideShape, Tasks,
};
use helve_decode::adapter::{Meeting, Relation};
use helve_decode::plan::*;
use helve_model::Readings;
use helve_vm::code::{CodeMemory, Tables};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The adapters of one component.
pub(crate) struct FusedCode {
    rules: Rules,
    adapters: PrimaryMap<LoweredId, Option<Adapter>>,
    subprograms: Box<[CodePtr]>,
    code: Option<Arc<CodeMemory>>,
}

/// The adapter of one lowered function.
#[derive(Clone, Debug)]
pub(crate) struct Adapter {
    /// Its code; none where its calls are the store's from the start.
    pub code: Option<CodePtr>,
    /// The code that only moves values, where its call is a task.
    pub movers: Option<Movers>,
    /// What decided its code.
    pub shape: AdapterShape,
    /// What it calls.
    pub lifted: LiftedId,
    /// The instances whose `may_enter` it checks and sets.
    pub entering: Arc<[ComponentInstanceId]>,
    /// Its core type.
    pub type_id: SharedTypeId,
}

/// Code that moves a call's values, and its core types.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Movers {
    pub result: CodePtr,
    pub result_type: SharedTypeId,
    pub params: CodePtr,
    pub params_type: SharedTypeId,
}

// SAFETY: addresses of immutable code that this keeps alive.
unsafe impl Send for FusedCode {}
// SAFETY: as above.
unsafe impl Sync for FusedCode {}

impl FusedCode {
    /// Compiles the adapters of every pair of the plan that can have one.
    /// An artifact has them `stored`.
    pub fn new(engine: &Engine, plan: &Plan, stored: Option<StoredModule>) -> Result<FusedCode> {
        // Adapters pass representations of 32 bits.
        if plan.resources.values().any(ResourceDef::is_wide) {
            return Ok(FusedCode::none(plan));
        }
        let mut rules = Rules::new(plan);
        rules.readings = engine.config().readings;
        let mut shapes = Vec::new();
        let mut places = HashMap::new();
        let mut found: PrimaryMap<LoweredId, Option<Found>> = PrimaryMap::new();
        for id in plan.lowered.keys() {
            let pair = rules.pair(plan, id).map(|pair| {
                let place = *places.entry(pair.shape).or_insert_with(|| {
                    shapes.push(pair.shape);
                    shapes.len() - 1
                });
                let lowered = &plan.lowered[id];
                let options = plan.options[lowered.options].signature(Side::Lower);
                let ty = plan.types.core_signature(lowered.ty, options).core();
                let type_id = engine.types().intern(&ty);
                (place, pair, type_id)
            });
            found.push(pair);
        }
        if shapes.is_empty() {
            return Ok(FusedCode::none(plan));
        }
        let pieces = shapes.iter().map(|shape| shape.pieces().len()).sum();
        if let Some(stored) = stored {
            let code = stored_adapters(stored, pieces)?;
            return publish(engine, plan, (rules, code), (&shapes, found));
        }
        let compiled = match engine.compiler().compile_adapters(&plan.types, &shapes) {
            Ok(compiled) => compiled,
            Err(error) if error.kind() == ErrorKind::Bug => return Err(error),
            // A type too large for the compiler: such calls go the slow way.
            Err(_) => return Ok(FusedCode::none(plan)),
        };
        publish(engine, plan, (rules, compiled), (&shapes, found))
    }

    /// No adapters.
    pub fn none(plan: &Plan) -> FusedCode {
        FusedCode {
            rules: Rules::new(plan),
            adapters: PrimaryMap::new(),
            subprograms: Box::default(),
            code: None,
        }
    }

    /// What decides flags and context slots.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The adapter of a lowered function, if it has one.
    pub fn adapter(&self, id: LoweredId) -> Option<&Adapter> {
        self.adapters.get(id)?.as_ref()
    }

    /// The code of all of them, if there are any.
    pub fn code(&self) -> Option<&CodeMemory> {
        self.code.as_deref()
    }

    /// What adapters' contexts point to.
    pub fn subprograms(&self) -> *const CodePtr {
        self.subprograms.as_ptr()
    }
}

/// Adapters of this many shapes out of an artifact.
fn stored_adapters(stored: StoredModule, adapters: usize) -> Result<CompiledAdapters> {
    ensure!(
        stored.functions.len() >= adapters,
        "compiled adapters of another component"
    );
    let code = CompiledModule {
        image: stored.code.to_vec(),
        alignment: 1,
        functions: stored.functions,
        traps: stored.traps,
        handlers: Vec::new(),
        locations: Vec::new(),
    };
    Ok(CompiledAdapters { code, adapters })
}

fn publish(
    engine: &Engine,
    plan: &Plan,
    (rules, compiled): (Rules, CompiledAdapters),
    (shapes, found): (&[AdapterShape], PrimaryMap<LoweredId, Option<Found>>),
) -> Result<FusedCode> {
    let starts: Vec<u32> = compiled.adapters().collect();
    let subprograms: Vec<u32> = compiled.subprograms().collect();
    let image = compiled.code;
    let tables = Tables {
        functions: image.functions.values().map(|f| (f.start, f.len)).collect(),
        traps: image.traps,
        // A core exception that reaches a component's boundary traps.
        ends_exceptions: true,
        ..Tables::default()
    };
    let code = CodeMemory::publish(&image.image, tables, Arc::new(()))?;
    let mut firsts = Vec::with_capacity(shapes.len());
    let mut next = 0;
    for shape in shapes {
        firsts.push(next);
        next += shape.pieces().len();
    }
    let adapters = found.into_iter().map(|(_, found)| {
        let (place, pair, type_id) = found?;
        let first = *firsts.get(place)?;
        let piece = |wanted: Piece| {
            let at = pair
                .shape
                .pieces()
                .iter()
                .position(|piece| *piece == wanted)?;
            Some(code.address(*starts.get(first + at)?))
        };
        let intern = |ty| engine.types().intern(&ty);
        let movers = match (piece(Piece::MoveResult), piece(Piece::MoveParams)) {
            (Some(result), Some(params)) => Some(Movers {
                result,
                result_type: intern(pair.shape.result_type(&plan.types)),
                params,
                params_type: intern(pair.shape.params_type(&plan.types)),
            }),
            _ => None,
        };
        Some(Adapter {
            code: piece(Piece::Adapter),
            movers,
            shape: pair.shape,
            lifted: pair.lifted,
            entering: pair.entering,
            type_id,
        })
    });
    Ok(FusedCode {
        rules,
        adapters: adapters.collect(),
        subprograms: subprograms.into_iter().map(|at| code.address(at)).collect(),
        code: Some(code),
    })
}

/// An adapter to be: the place of its shape, what it calls, its core type.
type Found = (usize, Pair, SharedTypeId);

/// A lower and the lift it meets.
struct Pair {
    lifted: LiftedId,
    shape: AdapterShape,
    entering: Arc<[ComponentInstanceId]>,
}

/// What about a plan decides its adapters.
pub(crate) struct Rules {
    /// Instances whose code can enter others.
    active: HashSet<ComponentInstanceId>,
    /// Instances whose code sees context slots.
    context: HashSet<ComponentInstanceId>,
    /// Instances whose code can block on its stack, but for calls that block nobody else.
    blocking: HashSet<ComponentInstanceId>,
    /// Those whose stack may have to wait all the same: for such calls, too.
    waiting: HashSet<ComponentInstanceId>,
    /// Whether calls are noted: somebody may see that they are tasks.
    noted: bool,
    readings: Readings,
}

impl Rules {
    fn new(plan: &Plan) -> Rules {
        let mut active: HashSet<_> = plan.lowered.values().map(|lowered| lowered.owner).collect();
        let mut context = HashSet::new();
        for def in plan.builtins.values() {
            match def.op {
                CanonBuiltin::ResourceDrop { .. } => active.insert(def.owner),
                CanonBuiltin::ContextGet { .. } | CanonBuiltin::ContextSet { .. } => {
                    context.insert(def.owner)
                }
                _ => false,
            };
        }
        let blocking = blocking(plan);
        Rules {
            active,
            context,
            waiting: waiting(plan, &blocking),
            blocking,
            noted: drive::uses_tasks(plan) || !plan.imported_funcs.is_empty(),
            readings: Readings::SPEC,
        }
    }

    /// Whether an instance has built-ins that see context slots.
    pub fn sees_context(&self, id: ComponentInstanceId) -> bool {
        self.context.contains(&id)
    }

    /// Whether the stack of an instance's code may have to wait while others run.
    pub fn can_block(&self, id: ComponentInstanceId) -> bool {
        self.waiting.contains(&id)
    }

    fn pair(&self, plan: &Plan, id: LoweredId) -> Option<Pair> {
        let lowered = &plan.lowered[id];
        let Meeting::Lift {
            lifted: lifted_id,
            relation,
        } = plan.meeting(id)
        else {
            return None;
        };
        let lifted = &plan.lifted[lifted_id];
        // An instance's memory may overlap itself; the slow way copies first.
        if relation == Relation::Same || !same_type(plan, lowered.ty, lifted.ty) {
            return None;
        }
        if self.readings.no_donuts && relation != Relation::Apart {
            return None;
        }
        let [from, to] = [lowered.options, lifted.options].map(|id| &plan.options[id]);
        let (abi, tasks) = self.tasks(plan, lifted, (from, to), relation)?;
        let side = |options: &CanonicalOptions, owner| SideShape {
            width: options.width,
            encoding: options.string_encoding,
            context: self.context.contains(&owner),
        };
        let entering = self.entering(plan, lowered.owner, lifted.owner);
        let slots = match (self.context.contains(&lifted.owner), relation) {
            (false, _) => ContextSlots::Unused,
            (true, Relation::Ancestor) => ContextSlots::Saved,
            // It isn't running, or the call would not be let in.
            (true, _) => ContextSlots::Zeroed,
        };
        Some(Pair {
            lifted: lifted_id,
            shape: AdapterShape {
                ty: lifted.ty,
                caller: side(from, lowered.owner),
                callee: side(to, lifted.owner),
                entering: entering.len() as u32,
                post_return: to.post_return.is_some(),
                slots,
                defines: defined(plan, lifted.ty, lifted.owner),
                caller_async: from.is_async,
                abi,
                tasks,
                gate: plan.types[lifted.ty].is_async,
            },
            entering,
        })
    }

    /// How a function was lifted, and what its adapter does about its being a task. A
    /// callee runs on its caller's stack where it can't block there once it has given its
    /// result, or its caller goes on before it has; else on one of its own. An instance
    /// that its caller is inside of may be running a task that excludes others, which only
    /// the store finds out.
    fn tasks(
        &self,
        plan: &Plan,
        lifted: &Lifted,
        (from, to): (&CanonicalOptions, &CanonicalOptions),
        relation: Relation,
    ) -> Option<(LiftAbi, Tasks)> {
        let abi = match (to.is_async, to.callback.is_some()) {
            (false, _) => LiftAbi::Sync,
            (true, true) => LiftAbi::Callback,
            (true, false) => LiftAbi::Stackful,
        };
        let ty = &plan.types[lifted.ty];
        if !self.noted {
            let plain = !from.is_async && !ty.is_async && abi == LiftAbi::Sync;
            return plain.then_some((abi, Tasks::Unseen));
        }
        let mut params = ty.params.iter();
        let lends = params.any(|(_, ty)| plan.types.contains_borrow(*ty));
        let blocks = self.blocking.contains(&lifted.owner);
        let on_stack = match abi {
            LiftAbi::Sync => !ty.is_async || !from.is_async || !blocks,
            LiftAbi::Callback => !blocks && !lends,
            LiftAbi::Stackful => false,
        };
        let early = self.readings.block_early && ty.is_async && !from.is_async;
        let excluded = relation == Relation::Ancestor && ty.is_async;
        let asks = early || excluded;
        match (on_stack, lends) {
            (true, _) if !asks => Some((abi, Tasks::Noted)),
            // What a task borrows only the store counts.
            (_, true) => None,
            (_, false) if asks => Some((abi, Tasks::Moved)),
            (_, false) => Some((abi, Tasks::Forked)),
        }
    }

    /// The instances that a call enters and that could be entered again meanwhile.
    pub fn entering(
        &self,
        plan: &Plan,
        caller: ComponentInstanceId,
        callee: ComponentInstanceId,
    ) -> Arc<[ComponentInstanceId]> {
        let around = |id| std::iter::once(id).chain(plan.ancestors(id));
        let callers: HashSet<_> = around(caller).collect();
        around(callee)
            .filter(|id| !callers.contains(id))
            .filter(|id| {
                let parent = plan.component_instances[*id].parent;
                parent.is_some_and(|parent| self.active.contains(&parent))
            })
            .collect()
    }
}

/// Instances with a built-in or a lowered function that can block its stack while others
/// run. A function that is not async does not let its caller go on meanwhile.
fn blocking(plan: &Plan) -> HashSet<ComponentInstanceId> {
    let builtins = plan.builtins.values().filter(|def| {
        let options = &plan.options[def.options];
        def.op.may_block(options.is_async)
    });
    let lowered = plan.lowered.values().filter(|lowered| {
        plan.types[lowered.ty].is_async && !plan.options[lowered.options].is_async
    });
    let builtins = builtins.map(|def| def.owner);
    builtins
        .chain(lowered.map(|lowered| lowered.owner))
        .collect()
}

/// Those, and instances that call them on their own stack, or drop what they define: others
/// of the callee's instance may run then, and what they start may come back here.
fn waiting(plan: &Plan, blocking: &HashSet<ComponentInstanceId>) -> HashSet<ComponentInstanceId> {
    let calls = plan.lowered.iter().filter_map(|(id, lowered)| {
        let Meeting::Lift { lifted, .. } = plan.meeting(id) else {
            return None;
        };
        let callee = plan.lifted[lifted].owner;
        let goes_on = plan.options[lowered.options].is_async && plan.types[lowered.ty].is_async;
        // Else it is called on a stack of its own, and its caller goes on.
        (!goes_on || !blocking.contains(&callee)).then_some((lowered.owner, callee))
    });
    let drops = plan.builtins.values().filter_map(|def| {
        let CanonBuiltin::ResourceDrop { resource } = def.op else {
            return None;
        };
        match &plan.resources.get(resource)?.origin {
            ResourceOrigin::Defined {
                owner,
                dtor: Some(_),
                ..
            } => Some((def.owner, *owner)),
            _ => None,
        }
    });
    let mut callers: HashMap<_, Vec<_>> = HashMap::new();
    for (caller, callee) in calls.chain(drops) {
        callers.entry(callee).or_default().push(caller);
    }
    let mut waiting = blocking.clone();
    let mut next: Vec<_> = blocking.iter().copied().collect();
    while let Some(callee) = next.pop() {
        for caller in callers.remove(&callee).unwrap_or_default() {
            if waiting.insert(caller) {
                next.push(caller);
            }
        }
    }
    waiting
}

fn same_type(plan: &Plan, a: FuncTypeId, b: FuncTypeId) -> bool {
    let types = &plan.types;
    a == b || types.equal_funcs(a, types, b, &mut |a, b| a == b)
}

/// Bit n: parameter n is a borrow of a resource type that `owner` defines.
fn defined(plan: &Plan, ty: FuncTypeId, owner: ComponentInstanceId) -> u32 {
    let defines = |id| {
        let origin = plan.resources.get(id).map(|def| &def.origin);
        matches!(origin, Some(ResourceOrigin::Defined { owner: by, .. }) if *by == owner)
    };
    let params = (0..32).zip(&plan.types[ty].params);
    params.fold(0, |bits, (n, (_, ty))| match ty {
        InterfaceType::Borrow(id) if defines(*id) => bits | 1 << n,
        _ => bits,
    })
}

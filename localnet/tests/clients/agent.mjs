// Uses a localnet through the JavaScript agent, with certificates and query signatures verified.
//
// usage: node agent.mjs URL WASM EFFECTIVE_CANISTER SUBNET
//
// Creates a canister on the subnet of EFFECTIVE_CANISTER, installs the counter at WASM, calls it, and reads its status.
// Prints the last facts as JSON; every check that fails ends it with an error.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { Actor, CanisterStatus, HttpAgent, SubnetStatus } from '@icp-sdk/core/agent';
import { IDL } from '@icp-sdk/core/candid';
import { DelegationChain, DelegationIdentity, ECDSAKeyIdentity, Ed25519KeyIdentity } from '@icp-sdk/core/identity';
import { Secp256k1KeyIdentity } from '@icp-sdk/core/identity/secp256k1';
import { Principal } from '@icp-sdk/core/principal';

const [url, wasmPath, effectiveText, subnetText] = process.argv.slice(2);
const wasm = readFileSync(wasmPath);
const wasmHash = createHash('sha256').update(wasm).digest('hex');
const effective = Principal.fromText(effectiveText);
const subnet = Principal.fromText(subnetText);

const CanisterArgs = IDL.Record({ canister_id: IDL.Principal });
const Settings = IDL.Record({ controllers: IDL.Opt(IDL.Vec(IDL.Principal)) });
const InstallMode = IDL.Variant({ install: IDL.Null, reinstall: IDL.Null, upgrade: IDL.Null });
const management = IDL.Service({
  provisional_create_canister_with_cycles: IDL.Func(
    [IDL.Record({ amount: IDL.Opt(IDL.Nat), settings: IDL.Opt(Settings) })],
    [CanisterArgs],
    [],
  ),
  install_code: IDL.Func(
    [
      IDL.Record({
        mode: InstallMode,
        canister_id: IDL.Principal,
        wasm_module: IDL.Vec(IDL.Nat8),
        arg: IDL.Vec(IDL.Nat8),
      }),
    ],
    [],
    [],
  ),
  canister_status: IDL.Func(
    [CanisterArgs],
    [IDL.Record({ module_hash: IDL.Opt(IDL.Vec(IDL.Nat8)), cycles: IDL.Nat })],
    [],
  ),
  stop_canister: IDL.Func([CanisterArgs], [], []),
  delete_canister: IDL.Func([CanisterArgs], [], []),
});
const CounterArgs = IDL.Record({ start: IDL.Opt(IDL.Nat64), fail_with: IDL.Opt(IDL.Text) });
const counterInterface = IDL.Service({
  get: IDL.Func([], [IDL.Nat64], ['query']),
  increment: IDL.Func([], [IDL.Nat64], []),
  greet: IDL.Func([IDL.Text], [IDL.Text], ['query']),
});

function agentOf(identity) {
  return HttpAgent.create({ host: url, identity, shouldFetchRootKey: true, verifyQuerySignatures: true });
}

// The management canister, with the principal of each call taken from the canister it names.
function managementOf(agent, target) {
  return Actor.createActor(() => management, {
    agent,
    canisterId: Principal.managementCanister(),
    callTransform: (_method, [args]) => ({ effectiveTarget: args?.canister_id ? { canisterId: args.canister_id } : target }),
  });
}

function hex(bytes) {
  return Buffer.from(bytes).toString('hex');
}

const identity = Ed25519KeyIdentity.generate(new Uint8Array(32).fill(7));
const agent = await agentOf(identity);
const status = await agent.status();
assert.equal(status.replica_health_status, 'healthy');

// Create and install.
const ic = managementOf(agent, { canisterId: effective });
const { canister_id: canister } = await ic.provisional_create_canister_with_cycles({
  amount: [5_000_000_000_000n],
  settings: [],
});
await ic.install_code({
  mode: { install: null },
  canister_id: canister,
  wasm_module: wasm,
  arg: IDL.encode([IDL.Opt(CounterArgs)], [[{ start: [41n], fail_with: [] }]]),
});

// Update and query, with every kind of key.
const counter = (as) => Actor.createActor(() => counterInterface, { agent: as, canisterId: canister });
assert.equal(await counter(agent).increment(), 42n);
assert.equal(await counter(agent).get(), 42n);
const session = Ed25519KeyIdentity.generate(new Uint8Array(32).fill(8));
const chain = await DelegationChain.create(identity, session.getPublicKey(), new Date(Date.now() + 600_000), {
  targets: [canister],
});
const identities = {
  secp256k1: Secp256k1KeyIdentity.generate(new Uint8Array(32).fill(9)),
  p256: await ECDSAKeyIdentity.generate(),
  delegated: DelegationIdentity.fromDelegation(session, chain),
  anonymous: undefined,
};
let count = 42n;
for (const [kind, as] of Object.entries(identities)) {
  const actor = counter(await agentOf(as));
  count += 1n;
  assert.equal(await actor.increment(), count, kind);
  assert.equal(await actor.get(), count, kind);
  assert.match(await actor.greet(kind), new RegExp(kind));
}

// A delegation for one canister is no good for another.
const elsewhere = managementOf(await agentOf(identities.delegated), { canisterId: effective });
await assert.rejects(elsewhere.canister_status({ canister_id: canister }));

// Errors come as errors.
await assert.rejects(
  Actor.createActor(({ IDL }) => IDL.Service({ missing: IDL.Func([], [], []) }), { agent, canisterId: canister }).missing(),
  /IC0536/,
);

// The certified state and the management canister say the same.
const certified = await CanisterStatus.request({ canisterId: canister, agent, paths: ['module_hash', 'controllers', 'time', 'candid'] });
assert.equal(certified.get('module_hash'), wasmHash);
assert.deepEqual(certified.get('controllers').map(String), [identity.getPrincipal().toText()]);
assert.ok(Math.abs(certified.get('time') - Date.now()) < 60_000);
assert.match(certified.get('candid'), /increment/);
const { module_hash: [reported] } = await ic.canister_status({ canister_id: canister });
assert.equal(hex(reported), wasmHash);

// The subnet and its nodes.
const subnetStatus = await SubnetStatus.request({ subnetId: subnet, agent, paths: ['time', 'nodeKeys', 'publicKey'] });
assert.ok(subnetStatus.get('nodeKeys').size > 0);
assert.equal(Principal.selfAuthenticating(subnetStatus.get('publicKey')).toText(), subnet.toText());

// Large arguments, and creation by subnet.
const onSubnet = managementOf(agent, { subnetId: subnet });
const { canister_id: second } = await onSubnet.provisional_create_canister_with_cycles({ amount: [], settings: [] });
assert.notEqual(second.toText(), canister.toText());
await ic.stop_canister({ canister_id: second });
await ic.delete_canister({ canister_id: second });

console.log(JSON.stringify({ canister: canister.toText(), moduleHash: wasmHash, count: Number(count) }));

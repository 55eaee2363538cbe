//! What a canister knows of itself, its subnet, its controllers and its environment variables.

use ic_management_canister_types::{CanisterSettings, EnvironmentVariable};
use integration_tests::universal::{self as u, Universal};
use pocket_ic::{ErrorCode, PocketIc};

use super::world::*;

/// Longest name that the system API looks up.
const MAX_LOOKUP: usize = 100;

fn set_variables(network: &PocketIc, canister: &Universal<'_>, variables: &[(&str, &str)]) {
    let variable = |(name, value): &(&str, &str)| EnvironmentVariable { name: (*name).into(), value: (*value).into() };
    let settings = CanisterSettings {
        environment_variables: Some(variables.iter().map(variable).collect()),
        ..Default::default()
    };
    set(network, OWNER, canister.id, settings).expect("the variables are good");
}

cases! {
    should_know_its_own_id: "canister_self is the canister's id" => {
        with_canister!(network, canister);
        assert_eq!(canister.query(program().reply_with(u::own_id())).unwrap(), canister.id.as_slice());
    }

    should_know_its_subnet: "subnet_self is the id of the subnet" => {
        with_canister!(network, canister);
        let subnet = network.get_subnet(canister.id).unwrap();
        assert_eq!(canister.update(program().reply_with(u::subnet_id())).unwrap(), subnet.as_slice());
        assert_eq!(canister.query(program().reply_with(u::subnet_id())).unwrap(), subnet.as_slice());
    }

    should_know_the_root_key: "root_key is a DER-encoded BLS key, the same for all" => {
        with_canister!(network, canister);
        let other = Universal::install(&network);
        let key = canister.update(program().reply_with(u::root_key())).unwrap();
        assert_eq!(key.len(), 133);
        assert_eq!(other.update(program().reply_with(u::root_key())).unwrap(), key);
    }

    should_know_its_controllers: "is_controller tells who controls the canister" => {
        with_canister!(network, canister);
        let ask = |principal| int(&canister.query(program().reply_with(u::is_controller(principal))).unwrap());
        assert_eq!((ask(OWNER), ask(stranger()), ask(canister.id)), (1, 0, 0));
        network.set_controllers(canister.id, None, vec![OWNER, stranger(), canister.id]).unwrap();
        assert_eq!((ask(OWNER), ask(stranger()), ask(canister.id)), (1, 1, 1));
    }

    should_know_its_balance: "the balance of the system API is that of the network, in messages less what they bind" => {
        with_canister!(network, canister);
        let ask = program().append(u::balance()).append(u::liquid_balance()).reply();
        // The first time the heap grows for the program itself.
        canister.update(ask.clone()).unwrap();
        let answer = canister.query(ask).unwrap();
        let (balance, liquid) = (cycles(&answer[..16]), cycles(&answer[16..]));
        assert_eq!(balance, network.cycle_balance(canister.id));
        let status = status(&network, canister.id);
        let threshold = small(&status.idle_cycles_burned_per_day) * 30;
        assert_eq!(balance - liquid, threshold);
        assert_eq!(u128::from(int(&canister.query(program().reply_with(u::balance64())).unwrap())), balance);
    }

    should_count_variables: "env_var_count counts the variables" => {
        with_canister!(network, canister);
        let count = || int(&canister.query(program().reply_with(u::variable_count())).unwrap());
        assert_eq!(count(), 0);
        set_variables(&network, &canister, &[("A", "1"), ("B", "2")]);
        assert_eq!(count(), 2);
    }

    should_read_variables_by_name: "env_var_value gives the value of a name" => {
        with_canister!(network, canister);
        set_variables(&network, &canister, &[("KEY", "value"), ("EMPTY", "")]);
        assert_eq!(canister.query(program().reply_with(u::variable_value("KEY"))).unwrap(), b"value");
        assert_eq!(canister.update(program().reply_with(u::variable_value("EMPTY"))).unwrap(), b"");
    }

    should_list_names_of_variables: "env_var_name gives each name once" => {
        with_canister!(network, canister);
        set_variables(&network, &canister, &[("B", "2"), ("A", "1"), ("C", "3")]);
        let names = program().append(u::variable_name(0)).append(u::variable_name(1)).append(u::variable_name(2)).reply();
        let mut listed = canister.query(names).unwrap();
        listed.sort_unstable();
        assert_eq!(listed, b"ABC");
    }

    should_tell_which_variables_there_are: "env_var_name_exists tells whether there is a variable" => {
        with_canister!(network, canister);
        set_variables(&network, &canister, &[("KEY", "value")]);
        let exists = program().append(u::variable_exists("KEY")).append(u::variable_exists("key")).reply();
        assert_eq!(ints(&canister.query(exists).unwrap()), [1, 0]);
    }

    should_trap_on_missing_variables: "the value of a variable that is not there violates the contract" => {
        with_canister!(network, canister);
        assert!(canister.query(program().reply_with(u::variable_value("KEY"))).is_err());
        assert!(canister.query(program().reply_with(u::variable_name(0))).is_err());
    }

    should_bound_names_that_are_looked_up: "names of more than 100 bytes cannot be looked up" => {
        with_canister!(network, canister);
        let look = |length: usize| canister.query(program().reply_with(u::variable_exists("n".repeat(length).as_str())));
        assert_eq!(int(&look(MAX_LOOKUP).unwrap()), 0);
        assert!(look(MAX_LOOKUP + 1).is_err());
    }

    should_see_new_variables_at_once: "changed variables are seen by the next message" => {
        with_canister!(network, canister);
        for value in ["1", "2"] {
            set_variables(&network, &canister, &[("KEY", value)]);
            assert_eq!(canister.update(program().reply_with(u::variable_value("KEY"))).unwrap(), value.as_bytes());
        }
    }

    should_see_variables_in_init: "variables that were set before can be read in init" => {
        let network = start();
        let id = network.create_canister();
        let canister = Universal { network: &network, id, sender: OWNER };
        set_variables(&network, &canister, &[("KEY", "early")]);
        let init = program().store(1, u::variable_value("KEY"));
        network.install_canister(id, u::module().bytes(), init.into_bytes(), None);
        assert_eq!(canister.query(program().reply_with(u::load(1))).unwrap(), b"early");
    }

    should_not_mint_cycles: "only one canister of the Internet Computer mints cycles" => {
        with_canister!(network, canister);
        let result = canister.update(program().run(u::mint_cycles(1)).reply());
        assert_eq!(code(result), ErrorCode::CanisterContractViolation);
    }

    should_tell_replicated_execution_apart: "in_replicated_execution is 1 in updates and 0 in queries" => {
        with_canister!(network, canister);
        let ask = || program().reply_with(u::in_replicated_execution());
        assert_eq!(int(&canister.update(ask()).unwrap()), 1);
        assert_eq!(int(&canister.query(ask()).unwrap()), 0);
        assert_eq!(int(&canister.composite_query(ask()).unwrap()), 0);
    }
}

import { quoteLiteral } from '../identifiers.ts'

/** What a look at the sequence tells, and how it is told apart from other notices of the server. */
const TELLS = 'tidemark: handed out'
const TOLD = /^tidemark: handed out (-?\d+)$/

/**
 * How long to pause between two looks, by how long nothing was handed out. A pause adds its half to the delay of an event, on
 * average: a thousandth of a wait of 10 s, which nobody notices. A look costs the server about 30 microseconds.
 */
const PACES: readonly { readonly quietForMs: number; readonly pauseMs: number }[] = [
  { quietForMs: 300_000, pauseMs: 100 },
  { quietForMs: 30_000, pauseMs: 30 },
  { quietForMs: 6_000, pauseMs: 10 },
]
const SHORTEST_PAUSE_MS = 3
/** After a look that found a new number: the poll that it causes sees what comes meanwhile too. Behind a busy store each look is one. */
const PAUSE_AFTER_FIND_MS = 10
/** How often it speaks at least: a server learns that its client is gone when it writes. */
const SPEAKS_EVERY_MS = 50

export function pauseMs(quietForMs: number): number {
  return PACES.find((pace) => quietForMs >= pace.quietForMs)?.pauseMs ?? SHORTEST_PAUSE_MS
}

/**
 * Looks at a sequence for a second, first at once, and tells each number that it finds by a notice, which reaches the client while the
 * statement still runs. A client has to be told of the first one: so it knows that nothing is missed between two of these.
 *
 * It repeats the number now and then: a server that writes to a client that was killed, or has gone, ends the statement.
 *
 * A statement of its own: COMMIT is refused where a transaction is open. It commits before each pause, so that neither a snapshot
 * nor the lock on the sequence lasts longer than a pause. The lock is the one of a SELECT, which is not taken for a writer's.
 * `last_value` may be up to 32 too high while a writer is at it: enough for a hint. A level that is always sent is used (INFO), since
 * roles turn off others. The text is one of few, for the sake of pg_stat_statements.
 *
 * `statement_timeout` counts for all of it, `transaction_timeout` for each pause: it keeps below half of either.
 *
 * A former primary would tell the same number for ever, where it lets in whoever comes: the connection to it is to be given up.
 */
export function waitSql(sequence: string, pause: number): string {
  return `do ${quoteLiteral(`
declare
  pause double precision := ${pause / 1_000};
  after_find double precision := ${PAUSE_AFTER_FIND_MS / 1_000};
  rest double precision;
  longest double precision := 1;
  begun timestamptz := clock_timestamp();
  spoken timestamptz := begun;
  known bigint;
  seen bigint;
begin
  if pg_is_in_recovery() then
    raise sqlstate '25006' using message = ${quoteLiteral(IN_RECOVERY)};
  end if;
  longest := least(longest, ${halfOf('statement_timeout')});
  pause := least(pause, ${halfOf('statement_timeout')}, ${halfOf('transaction_timeout')});
  after_find := least(after_find, ${halfOf('statement_timeout')}, ${halfOf('transaction_timeout')});
  loop
    rest := pause;
    perform set_config('lock_timeout', '1000', true);
    select case when is_called then last_value else last_value - 1 end into strict seen from ${sequence};
    commit;
    if seen is distinct from known or clock_timestamp() >= spoken + interval '${SPEAKS_EVERY_MS} ms' then
      raise info '${TELLS} %', seen;
      if seen <> known then
        pause := least(pause, ${SHORTEST_PAUSE_MS / 1_000});
        rest := after_find;
      end if;
      known := seen;
      spoken := clock_timestamp();
    end if;
    exit when clock_timestamp() >= begun + make_interval(secs => longest);
    perform pg_sleep(rest);
  end loop;
end`)}`
}

const IN_RECOVERY = 'this server is in recovery: what its sequence tells is late, or of the past'

/** In seconds; NULL, which `least` leaves out, where there is no limit, or no such setting (before 17). */
function halfOf(setting: string): string {
  return `nullif(extract(epoch from current_setting('${setting}', true)::interval), 0) / 2`
}

/** The number that a notice tells; `undefined` where it is another one. */
export function toldBy(message: string | undefined): bigint | undefined {
  const number = TOLD.exec(message ?? '')?.[1]
  return number === undefined ? undefined : BigInt(number)
}

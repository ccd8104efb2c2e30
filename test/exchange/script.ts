import { seeded } from '../support/random.ts';

/** What a world does: data, so that a part of it can be left out. Times are in ms. */
export interface Script {
  /** Of the jitter on OpenAI's lines. */
  seed: number;
  servers: number;
  /** Whether a call's requests go to one server, or to all in turn. */
  balancer: 'sticky' | 'in turn';
  standby: number;
  places: number;
  graceSeconds: number;
  maxCallSeconds: number;
  /** How long callers may be silent before the assistant asks whether they are there; 0 for ever. */
  idleMs: number;
  calls: Plan[];
  faults: Fault[];
}

/** A call: when it comes in, what its line is like, what happens on it and what the model says. */
export interface Plan {
  at: number;
  /** Of its lines' jitter. */
  seed: number;
  delayMs: number;
  jitterMs: number;
  frameMs: number;
  /** How Twilio comes for its stream. */
  comes:
    | 'once'
    | 'after asking twice'
    | 'twice'
    | 'late'
    | 'never'
    | 'hangs up first'
    | 'once more at the end';
  acts: Act[];
  /** One for each response, from the greeting on. */
  replies: Reply[];
}

/** What happens `at` ms after the stream's start: what the caller does, and the faults of either side. */
export type Act = { at: number } & (
  | { does: 'speak' | 'mute'; ms: number }
  | { does: 'press'; digits: string }
  | { does: 'hang up' | 'stop without closing' }
  | { does: 'close'; side: Side; code: number }
  | { does: 'reset' | 'break'; side: Side }
  | { does: 'hold'; side: Side; ms: number }
  | { does: 'stop reading'; side: Side; ms: number }
);
type Side = 'twilio' | 'openai';

/** What a response has: so much speech, and perhaps the call of a tool. */
export interface Reply {
  ms: number;
  thinkMs: number;
  tool?: ToolName;
  /** How it goes wrong: with an error, or while it is generated. */
  fails?:
    | 'server_error'
    | 'rate_limit_exceeded'
    | 'insufficient_quota'
    | 'incomplete'
    | 'resets'
    | 'closes'
    | 'hangs';
}

export const TOOLS = ['quick', 'slow', 'endless', 'throws', 'floats', 'bye', 'transfer'] as const;
export type ToolName = (typeof TOOLS)[number] | 'unknown' | 'garbled';

export type Fault = { at: number } & (
  | { does: 'stall'; ms: number }
  | { does: 'jump'; server: number; ms: number }
  | { does: 'stop'; server: number }
  /** Whoever dials OpenAI in the next `ms` meets this; where that is 0, only the first who dials. */
  | { does: 'dialling'; ms: number; meets: DialFault }
);
export const DIAL_FAULTS = [
  'refused',
  'hanging',
  '429',
  '503',
  'invalid_api_key',
  'rejected update',
  'never created',
  'slow',
  'expiring',
] as const;
export type DialFault = (typeof DIAL_FAULTS)[number];

/** The script of a seed. */
export function scriptOf(seed: number, calls: number, withFaults = true): Script {
  const random = seeded(seed);
  const upTo = (most: number) => Math.floor(random() * (most + 1));
  const between = (least: number, most: number) => least + upTo(most - least);
  const chance = (share: number) => random() < share;
  const oneOf = <T>(first: T, ...others: T[]): T => others[upTo(others.length) - 1] ?? first;
  const faulty = (share: number) => withFaults && chance(share);

  function act(at: number): Act {
    const side = oneOf<Side>('twilio', 'openai');
    switch (upTo(7)) {
      case 0:
      case 1:
        return { at, does: 'reset', side };
      case 2:
        return { at, does: 'break', side };
      case 3:
      case 4:
        return { at, does: 'close', side, code: oneOf(1000, 1001, 1006, 1011, 1013, 3000, 4000) };
      case 5:
        return { at, does: 'hold', side, ms: oneOf(300, 1_500, 6_000, 14_000) };
      case 6:
        return { at, does: 'stop reading', side, ms: oneOf(500, 3_000, 60_000) };
      default:
        return { at, does: 'stop without closing' };
    }
  }

  function reply(): Reply {
    const made: Reply = { ms: oneOf(400, 1_000, 2_000, 4_000), thinkMs: oneOf(100, 300, 600) };
    if (chance(0.25)) {
      made.tool = oneOf<ToolName>('quick', 'slow', 'bye', 'transfer');
      if (faulty(0.3)) made.tool = oneOf<ToolName>('endless', 'throws', 'unknown', 'garbled');
      if (servers > 1 && faulty(0.01)) made.tool = 'floats';
      if (chance(0.5)) made.ms = 0;
    }
    if (faulty(0.08)) {
      made.fails = oneOf(
        'server_error',
        'rate_limit_exceeded',
        'insufficient_quota',
        'incomplete',
        'resets',
        'closes',
        'hangs',
      );
    }
    return made;
  }

  function plan(): Plan {
    const acts: Act[] = [];
    const replies = Array.from({ length: 1 + upTo(4) }, reply).flatMap((each) =>
      each.fails?.includes('_') && chance(0.4) ? [each, each, each] : [each],
    );
    // Whoever is not answered waits for what comes of it, mostly.
    const isInVain = replies.some(({ fails, tool }) => fails === 'hangs' || tool === 'endless');
    const waits = chance(isInVain ? 0.8 : 0.1);
    let at = between(500, 3_000);
    for (let turns = upTo(waits ? replies.length : 3); turns > 0; turns--) {
      if (chance(0.15)) acts.push({ at, does: 'press', digits: oneOf('1', '12#', '42') });
      else acts.push({ at, does: 'speak', ms: between(300, 1_800) });
      if (chance(0.06)) acts.push({ at: at + between(0, 800), does: 'mute', ms: oneOf(500, 3_000, 20_000) });
      at += between(1_200, 5_000);
    }
    if (faulty(0.35)) acts.push(act(upTo(at)));
    const says = replies.findIndex(({ tool }) => tool === 'bye' || tool === 'transfer');
    // The key is withdrawn, perhaps over the goodbye.
    if (says === 0 && faulty(0.3)) acts.push({ at: upTo(5_000), does: 'close', side: 'openai', code: 3000 });
    if (!waits) acts.push({ at: at + upTo(1_500), does: 'hang up' });
    const comes = faulty(0.12)
      ? oneOf<Plan['comes']>(
          'after asking twice',
          'twice',
          'late',
          'never',
          'hangs up first',
          'once more at the end',
        )
      : 'once';
    return {
      at: upTo(calls * 1_500),
      seed: upTo(1e9),
      delayMs: oneOf(5, 15, 40),
      jitterMs: faulty(0.3) ? oneOf(5, 30, 120) : 2,
      frameMs: oneOf(100, 100, 200, 200, chance(0.2) ? 20 : 100),
      comes,
      acts: acts.sort((a, b) => a.at - b.at),
      replies,
    };
  }

  function fault(): Fault {
    const at = upTo(calls * 1_500);
    const server = upTo(servers - 1);
    switch (upTo(5)) {
      case 0:
        return { at, does: 'stall', ms: oneOf(100, 1_000, 5_000, 20_000) };
      case 1:
        return { at, does: 'jump', server, ms: oneOf(-3_600_000, -5_000, 5_000, 3_600_000) };
      case 2:
        if (servers > 1) return { at, does: 'stop', server: 0 };
        return { at, does: 'stall', ms: 300 };
      default:
        return {
          at,
          does: 'dialling',
          ms: oneOf(0, 0, 500, 3_000, 8_000),
          meets: oneOf(...DIAL_FAULTS),
        };
    }
  }

  const servers = oneOf(1, 1, 2, 3);
  return {
    seed,
    servers,
    balancer: oneOf('sticky', 'in turn'),
    standby: oneOf(0, 1, 1, 2),
    places: oneOf(100, 100, 100, 3),
    graceSeconds: oneOf(0, 5, 30),
    maxCallSeconds: oneOf(15, 25, 40),
    calls: Array.from({ length: calls }, plan),
    faults: withFaults ? Array.from({ length: upTo(5) }, fault) : [],
    idleMs: oneOf(0, 0, 0, 2_000, 5_000),
  };
}

import { Call } from './call.ts';
import { Party } from './clock.ts';
import type { World } from './world.ts';

/** Twilio's end of all calls. */
export class Twilio {
  readonly party = new Party('twilio');
  readonly calls: Call[] = [];
  readonly #bySid = new Map<string, Call>();

  constructor(world: World) {
    for (const [number, plan] of world.script.calls.entries()) {
      const call = new Call(world, this.party, number, plan);
      this.calls.push(call);
      this.#bySid.set(call.sid, call);
      world.clock.schedule(plan.at, this.party, 0, () => call.ring());
    }
  }

  callOf(sid: string | undefined): Call | undefined {
    return this.#bySid.get(sid ?? '');
  }
}

// A session that was lost leaves its ids behind. A space in front, which no id on the wire has, keeps them from being sent,
// or met again: another session may use the same.

export function lost(id: string): string {
  return ` ${id}`;
}

export function isLost(id: string): boolean {
  return id.startsWith(' ');
}

/** The same entries under the ids that a lost session leaves behind. */
export function lostKeys<Value>(byId: ReadonlyMap<string, Value>): Map<string, Value> {
  return new Map([...byId].map(([id, value]) => [lost(id), value]));
}

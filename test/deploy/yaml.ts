export type Yaml = string | Yaml[] | { [key: string]: Yaml };

interface Line {
  indent: number;
  text: string;
}

/** Reads the YAML of kubernetes.yaml: block maps, block lists and plain or double-quoted scalars; throws at all else. */
export function parseYaml(text: string): Yaml[] {
  return text.split(/^---$/m).map((document) => {
    const lines = document
      .split('\n')
      .filter((line) => !/^\s*(#.*)?$/.test(line))
      .map((line) => ({ indent: line.search(/\S/), text: line.trim() }));
    const value = readBlock(lines);
    if (lines.length > 0) throw new Error(`It is indented wrongly: ${lines[0]?.text}`);
    return value;
  });
}

/** Takes the lines of one map or list. */
function readBlock(lines: Line[]): Yaml {
  const [{ indent, text } = { indent: 0, text: '' }] = lines;
  return text.startsWith('- ') ? readList(lines, indent) : readMap(lines, indent);
}

function readList(lines: Line[], indent: number): Yaml[] {
  const list: Yaml[] = [];
  while (lines[0]?.indent === indent && lines[0].text.startsWith('- ')) {
    const item = { indent: indent + 2, text: lines[0].text.slice(2) };
    if (isEntry(item.text)) {
      lines[0] = item;
      list.push(readBlock(lines));
    } else {
      lines.shift();
      list.push(readScalar(item.text));
    }
  }
  return list;
}

function readMap(lines: Line[], indent: number): Yaml {
  const map: Record<string, Yaml> = {};
  while (lines[0]?.indent === indent && isEntry(lines[0].text)) {
    const [, key = '', scalar = ''] = /^([\w.-]+):(?: (.*))?$/.exec(lines[0].text) ?? [];
    if (key in map) throw new Error(`It is there twice: ${key}`);
    lines.shift();
    const isNested = scalar === '' && (lines[0]?.indent ?? 0) > indent;
    if (scalar === '' && !isNested) throw new Error(`It is empty: ${key}`);
    map[key] = isNested ? readBlock(lines) : readScalar(scalar);
  }
  if (Object.keys(map).length === 0) throw new Error(`It is no map: ${lines[0]?.text}`);
  return map;
}

function isEntry(text: string): boolean {
  return /^[\w.-]+:( |$)/.test(text);
}

function readScalar(text: string): string {
  const [, quoted, plain] = /^(?:"([^"\\]*)"|([\w/][^:#"'{}[\]]*))$/.exec(text) ?? [];
  const value = quoted ?? plain;
  if (value === undefined) throw new Error(`It is no scalar: ${text}`);
  return value;
}

/** Tables as docker prints them: aligned columns, no borders. */
import Table from 'cli-table3'

export interface Column {
  readonly title: string
  readonly align?: 'left' | 'right'
}

const borders = [
  'top',
  'top-mid',
  'top-left',
  'top-right',
  'bottom',
  'bottom-mid',
  'bottom-left',
  'bottom-right',
  'left',
  'left-mid',
  'mid',
  'mid-mid',
  'right',
  'right-mid',
] as const

/**
 * Aligns rows under their titles.
 *
 * @param rows printable text, a cell for each column
 * @returns lines without an end of line, without trailing blanks
 */
export function formatTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const table = new Table({
    chars: {...Object.fromEntries(borders.map((border) => [border, ''])), middle: '   '},
    colAligns: columns.map(({align}) => align ?? 'left'),
    style: {'padding-left': 0, 'padding-right': 0, head: [], border: []},
  })
  table.push(
    columns.map(({title}) => title),
    ...rows.map((row) => [...row]),
  )
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
}

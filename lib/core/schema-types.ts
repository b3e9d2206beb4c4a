/** A schema that carries the type of what it describes: one of TypeBox, 1.x (`typebox`) or before (`@sinclair/typebox`). */
export type TypedSchema = { readonly static: unknown } | { readonly '~kind': string }

/** A schema that carries none, such as plain JSON Schema: the handler's own annotations are the types. */
export interface PlainSchema { readonly static?: never, readonly '~kind'?: never, readonly [keyword: string]: any }

/** The arguments that a TypeBox schema describes; never where it describes no array. */
export type SchemaArgs<Schema> = TypeOf<Schema> extends infer Args extends unknown[] ? Args : never

/**
 * What a TypeBox schema describes. Up to 0.x a schema says so itself; from 1.0 on it is read from its structure, so that
 * this package needs TypeBox neither installed nor at one version. What JSON cannot carry, and references, are `any`.
 */
type TypeOf<Schema> =
  Schema extends { readonly static: infer Static } ? Static
    : Schema extends { readonly '~unsafe': infer Unsafe } ? Unsafe
      : Schema extends { readonly '~kind': infer Kind } ? OfKind<Kind, Schema> : any

type OfKind<Kind, Schema> =
  Kind extends 'String' | 'TemplateLiteral' ? string
    : Kind extends 'Number' | 'Integer' ? number
      : Kind extends 'Boolean' ? boolean
        : Kind extends 'Null' ? null
          : Kind extends 'Unknown' ? unknown
            : Schema extends { readonly const: infer Value } ? Value
              : Schema extends { readonly enum: ReadonlyArray<infer Value> } ? Value
                : Schema extends { readonly anyOf: readonly unknown[] } ? AnyOf<Schema['anyOf']>
                  : Schema extends { readonly allOf: readonly unknown[] } ? AllOf<Schema['allOf']>
                    : Kind extends 'Tuple' ? Schema extends { readonly items: infer Items } ? Elements<Items> : any
                      : Kind extends 'Array' ? Schema extends { readonly items: infer Items } ? Array<TypeOf<Items>> : any
                        : Kind extends 'Object' ? Schema extends { readonly properties: infer Properties } ? Simple<Members<Properties>> : any
                          : Schema extends { readonly patternProperties: infer Patterns } ? Record<string, TypeOf<Patterns[keyof Patterns]>> : any

type Elements<Items> = Items extends readonly [infer First, ...infer Rest]
  ? First extends { readonly '~optional': true } ? [TypeOf<First>?, ...Elements<Rest>] : [TypeOf<First>, ...Elements<Rest>]
  : []

type Members<Properties> =
  { -readonly [Name in keyof Properties as Properties[Name] extends { readonly '~optional': true } ? never : Name]: TypeOf<Properties[Name]> } &
  { -readonly [Name in keyof Properties as Properties[Name] extends { readonly '~optional': true } ? Name : never]?: TypeOf<Properties[Name]> }

type AnyOf<Schemas extends readonly unknown[]> = Schemas extends readonly [infer First, ...infer Rest] ? TypeOf<First> | AnyOf<Rest> : never
type AllOf<Schemas extends readonly unknown[]> = Schemas extends readonly [infer First, ...infer Rest] ? TypeOf<First> & AllOf<Rest> : unknown

/** One object in place of an intersection, as an editor should show it. */
type Simple<T> = { [Name in keyof T]: T[Name] } & {}

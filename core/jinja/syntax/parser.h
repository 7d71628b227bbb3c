/* parser.h - a template as a tree, and how it is read. The tree lies in the template's heap and is
 * read-only once parsed: any thread. */
#pragma once

#include "jinja/args.h"
#include "jinja/syntax/lexer.h"

enum jinja_node_kind {
    /* expressions */
    JINJA_N_CONSTANT,  /* value */
    JINJA_N_NAME,      /* name */
    JINJA_N_LIST,      /* a: items */
    JINJA_N_TUPLE,     /* a: items */
    JINJA_N_DICT,      /* a: key, value, key, value, ... */
    JINJA_N_AND,       /* a, b */
    JINJA_N_OR,        /* a, b */
    JINJA_N_NOT,       /* a */
    JINJA_N_NEGATE,    /* a */
    JINJA_N_PLUS,      /* a */
    JINJA_N_BINARY,    /* a op b */
    JINJA_N_CONCAT,    /* a: parts */
    JINJA_N_COMPARE,   /* a; b: operands, each with op */
    JINJA_N_CHOICE,    /* b if a else c (NULL: undefined) */
    JINJA_N_ATTRIBUTE, /* a.name */
    JINJA_N_ITEM,      /* a[b] */
    JINJA_N_SLICE,     /* a:b:c, each may be NULL */
    JINJA_N_CALL,      /* a(b: arguments) */
    JINJA_N_FILTER,    /* a | function(b: arguments); a NULL: of a block */
    JINJA_N_TEST,      /* a is function(b: arguments) */
    /* arguments, in their order */
    JINJA_N_POSITIONAL,   /* a */
    JINJA_N_KEYWORD,      /* name = a */
    JINJA_N_SPREAD,       /* *a */
    JINJA_N_SPREAD_NAMED, /* **a */
    /* statements */
    JINJA_N_DATA,         /* value */
    JINJA_N_OUTPUT,       /* a */
    JINJA_N_IF,           /* a: its branches: IFs (a: condition; b: body), an else (a BLOCK) */
    JINJA_N_BLOCK,        /* b: body, in the scope it stands in */
    JINJA_N_FOR,          /* a: target; b: over; c: body; d: else; e: condition */
    JINJA_N_SET,          /* a: target; b: value */
    JINJA_N_SET_BLOCK,    /* a: target; b: filters or NULL; c: body */
    JINJA_N_SET_MEMBER,   /* a target: name.other (name2) of a namespace */
    JINJA_N_WITH,         /* a: target, value, target, value, ...; c: body */
    JINJA_N_MACRO,        /* name; a: parameters; c: body */
    JINJA_N_CALL_BLOCK,   /* a: parameters; b: the call; c: body */
    JINJA_N_FILTER_BLOCK, /* b: filters; c: body */
    JINJA_N_SCOPE,        /* c: body, in a scope of its own */
    JINJA_N_BREAK,
    JINJA_N_CONTINUE,
    JINJA_N_PARAMETER, /* name; a: default, or NULL */
};

struct jinja_node {
    enum jinja_node_kind kind;
    int line;
    unsigned depth;                        /* of the tree below, itself included */
    struct jinja_node *next;               /* in a list */
    struct jinja_node *a, *b, *c, *d, *e;  /* as above */
    const struct jinja_text *name, *name2; /* one text for each name: compared by address */
    struct jinja_value value;
    const struct jinja_function *function;
    const char *op;                              /* static */
    bool uses_caller, uses_varargs, uses_kwargs; /* MACRO, CALL_BLOCK: the body names them */
};

struct jinja_names { /* every name of the template once */
    const struct jinja_text **at;
    size_t n, room;
};

struct jinja_parser {
    struct jinja_heap *heap;
    struct jinja_tokens tokens;
    size_t at;
    struct jinja_names names;
    unsigned depth, n_loops;  /* blocks and brackets inside each other; loops around */
    struct jinja_node *macro; /* that is being read, for what its body names */
};

/* Fails with STATUS_FORMAT or STATUS_UNSUPPORTED. NULL: an empty template. */
struct jinja_node *parser_read(struct jinja_heap *heap, const char *text, size_t n,
                               struct jinja_names *names);
/* The template's own text for a name, or NULL: it does not use it. */
const struct jinja_text *parser_name(const struct jinja_names *names,
                                     const struct jinja_text *name);

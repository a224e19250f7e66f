# Turns the migrations and the named queries into C. Usage:
#   awk -v what=header|source -f embed.awk migrations/*.sql queries/*.sql
# Files below migrations/ are one text each, in the order given; in the others every statement follows a line
# "-- name: NAME". What several of a file begin with is written once, behind "-- fragment: NAME" before them, and a line
# "{NAME}" of a statement is replaced by it.
function c_line(text)
{
    gsub(/\\/, "\\\\", text)
    gsub(/"/, "\\\"", text)
    return "    \"" text "\\n\""
}

FNR == 1 {
    migration = FILENAME ~ /migrations\//
    name = fragment = ""
    split("", fragments)
    if (migration) {
        texts_of[++migrations] = ""
    }
}

migration {
    texts_of[migrations] = texts_of[migrations] c_line($0) "\n"
    next
}

/^-- fragment: / {
    name = ""
    fragment = $3
    fragments[fragment] = ""
    next
}

/^-- name: / {
    name = $3
    fragment = ""
    if (name in seen) {
        print FILENAME ": " name " is there twice" > "/dev/stderr"
        exit 1
    }
    seen[name] = 1
    names[++queries] = name
    next
}

/^--/ || /^$/ { next }

fragment != "" {
    fragments[fragment] = fragments[fragment] c_line($0) "\n"
    next
}

{
    if (/^\{[a-z_]+\}$/ && name != "") {
        part = substr($0, 2, length($0) - 2)
        if (!(part in fragments)) {
            print FILENAME ":" FNR ": there is no fragment " part > "/dev/stderr"
            exit 1
        }
        query[name] = query[name] fragments[part]
        next
    }
    if (name == "") {
        print FILENAME ":" FNR ": a statement without a name" > "/dev/stderr"
        exit 1
    }
    query[name] = query[name] c_line($0) "\n"
}

END {
    if (what == "header") {
        print "/* Generated from sql/. */"
        print "#ifndef HOLDFAST_SQL_STATEMENTS_H"
        print "#define HOLDFAST_SQL_STATEMENTS_H"
        print "enum sql_query {"
        for (i = 1; i <= queries; i++) {
            print "    SQL_" toupper(names[i]) ","
        }
        print "    SQL_QUERY_COUNT\n};"
        print "enum { SQL_MIGRATION_COUNT = " migrations " };"
        print "extern const char *const sql_migrations[SQL_MIGRATION_COUNT];"
        print "extern const char *const sql_queries[SQL_QUERY_COUNT];"
        print "extern const char *const sql_query_names[SQL_QUERY_COUNT];"
        print "#endif"
        exit
    }
    print "/* Generated from sql/. */"
    print "#include \"sql/statements.h\""
    print "const char *const sql_migrations[SQL_MIGRATION_COUNT] = {"
    for (i = 1; i <= migrations; i++) {
        print texts_of[i] "    ,"
    }
    print "};"
    print "const char *const sql_queries[SQL_QUERY_COUNT] = {"
    for (i = 1; i <= queries; i++) {
        print query[names[i]] "    ,"
    }
    print "};"
    print "const char *const sql_query_names[SQL_QUERY_COUNT] = {"
    for (i = 1; i <= queries; i++) {
        print "    \"" names[i] "\","
    }
    print "};"
}

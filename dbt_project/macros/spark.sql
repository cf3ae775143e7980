{# How the project lives on Spark: a model is a folder of Parquet files, a month of it a
   folder within, and a relation is the path of it. No catalogue is asked, so that any
   cluster that sees the lake can take the next step. #}

{% macro spark__generate_schema_name(custom_schema_name, node) -%}
    parquet
{%- endmacro %}

{% macro spark__generate_alias_name(custom_alias_name, node) -%}
    {%- set name = node.name ~ ('_v' ~ node.version if node.version else '') -%}
    {%- if node.resource_type not in ('model', 'seed') or node.config.materialized == 'ephemeral' -%}
        {{ name }}
    {%- else -%}
        {{ spark_path('warehouse/spark/' ~ name) }}
    {%- endif -%}
{%- endmacro %}

{% macro spark_path(below_home) -%}
    `file://{{ env_var('PODLEDGER_HOME') }}/{{ below_home }}`
{%- endmacro %}

{# Tables of the lake; with DuckDB, their place is in external_location. #}
{% macro source(source_name, table_name) %}
    {%- set relation = builtins.source(source_name, table_name) -%}
    {%- if target.type != 'spark' -%}{{ return(relation) }}{%- endif -%}
    {%- set folder = 'lake/raw/' if source_name == 'raw' else 'lake/' -%}
    {{ return(relation.incorporate(
        path={'schema': 'parquet', 'identifier': spark_path(folder ~ table_name)}
    )) }}
{% endmacro %}

{# There is no schema to make. #}
{% macro spark__create_schema(relation) %}{% endmacro %}

{# Overflow is to be an error, not a null, and a decimal is to be printed without an
   exponent: both are ANSI mode, which dbt-spark turns off before every statement. Spark
   takes it from when a statement is parsed, so the statement itself is parsed within. #}
{% macro spark_overwrite(folder, sql) -%}
    {%- set statement -%}
        insert overwrite directory '{{ folder }}' using parquet options ('compression' 'zstd')
        {{ sql }}
    {%- endset -%}
    begin
    execute immediate 'set spark.sql.ansi.enabled = true';
    execute immediate '{{ statement | replace("\\", "\\\\") | replace("'", "\\'") }}';
    end
{%- endmacro %}

{# A month replaces its own folder, whatever was in it. #}
{% materialization incremental, adapter='spark' %}
    {%- set month = model.batch.event_time_start.strftime('%Y-%m-%d') -%}
    {%- set folder = this.identifier[1:-1] ~ '/billing_month=' ~ month -%}
    {% call statement('main') -%}
        {{ spark_overwrite(folder, sql) }}
    {%- endcall %}
    {{ return({'relations': [this]}) }}
{% endmaterialization %}

{# A seed is written in one piece. #}
{% macro spark__create_csv_table(model, agate_table) %}{% endmacro %}

{% macro spark__load_csv_rows(model, agate_table) %}
    {%- set types = model['config'].get('column_types', {}) -%}
    {%- set sql -%}
        select
            {% for name in agate_table.column_names -%}
            cast({{ name }} as {{ types[name] | replace('varchar', 'string') }}) as {{ name }}
            {{- ',' if not loop.last }}
            {% endfor %}
        from values
            {% for row in agate_table.rows -%}
            ({% for value in row -%}
                {{ 'null' if value is none else "'" ~ value | string | replace("'", "\\'") ~ "'" }}
                {{- ', ' if not loop.last }}
            {%- endfor %}){{ ',' if not loop.last }}
            {% endfor %}
        as seed ({{ agate_table.column_names | join(', ') }})
    {%- endset -%}
    {%- set written = spark_overwrite(this.identifier[1:-1], sql) -%}
    {% do adapter.add_query(written, abridge_sql_log=True) %}
    {{ return(written) }}
{% endmacro %}

{# What several controls say in the same way. #}

{# What the YAML of a control says of its severity. dbt knows that when it compiles, and not
   yet when it parses. #}
{% macro severity_of(control) -%}
    {%- if execute -%}
    {{ graph.nodes['model.' ~ project_name ~ '.ctl_' ~ control].config.meta.severity }}
    {%- endif -%}
{%- endmacro %}

{# CTE `payers`: whom a month bills. #}
{% macro billed_payers() -%}
payers as (

    select distinct
        billing_month,
        payer_account_id
    from {{ ref('int_bases__known') }}

)
{%- endmacro %}

{# CTE `months`: those that have a bill. #}
{% macro billed_months() -%}
months as (

    select distinct billing_month from {{ ref('int_bases__known') }}

)
{%- endmacro %}

{# CTE `bases`: what the exports of each payer tell. A basis that they do not tell obeys no
   law; every_basis_is_in_the_export names it. #}
{% macro told_bases() -%}
bases as (

    select
        billing_month,
        payer_account_id,
        cost_basis
    from {{ ref('int_bases__known') }}
    where is_known

)
{%- endmacro %}

{# The amount of a row's cost basis, of a relation with a column for each. #}
{% macro of_basis(relation) -%}
    case bases.cost_basis
        {% for basis in bases() -%}
        when '{{ basis }}' then {{ relation }}.{{ basis }}_usd
        {% endfor -%}
    end
{%- endmacro %}

{# Amounts and answer of a control that passes where nothing is found.

   counted: of what was found; null where there is nothing.
   amount: what it costs; null where the exports do not tell. #}
{% macro expects_none(counted, amount) -%}
    0 as expected_usd,
    case when {{ counted }} is null then 0 else {{ amount }} end as actual_usd,
    case when {{ counted }} is null then 0 else {{ amount }} end as residual_usd,
    {{ counted }} is null as is_passed,
{%- endmacro %}

{# CTE `final` of a control with a row for each of `payers`, which passes where a CTE found
   nothing of the payer.

   found: the CTE; its column `example` goes into the evidence.
   counted: its column with how many there are.
   amount: what they cost, amortized.
   what: they are, in words. #}
{% macro none_of_payers(found, counted, amount, what) -%}
final as (

    select
        payers.billing_month,
        payers.payer_account_id,
        'amortized' as cost_basis,
        {{ expects_none(found ~ '.' ~ counted, amount) }}
        coalesce({{ found }}.{{ counted }}, 0)
        || ' {{ what }}'
        || coalesce(', like ' || {{ found }}.example, '') as evidence
    from payers
    left join {{ found }}
        on
            payers.billing_month = {{ found }}.billing_month
            and payers.payer_account_id = {{ found }}.payer_account_id

)
{%- endmacro %}

{# CTE of sums by payer, in each basis. #}
{% macro sums_by_payer(name, relation, payer='payer_account_id') -%}
{{ name }} as (

    select
        billing_month,
        {{ payer }}{{ ' as payer_account_id' if payer != 'payer_account_id' }},
        {% for basis in bases() -%}
        sum({{ basis }}_usd) as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from {{ relation }}
    group by billing_month, {{ payer }}

)
{%- endmacro %}

{# CTE `final` of a control that compares several relations with one sum: `compared` has a
   row for each. The worst decides.

   item: its column with the name of the relation.
   items: the word for them, in the plural. #}
{% macro worst_of_compared(item, items) -%}
final as (

    select
        billing_month,
        payer_account_id,
        cost_basis,
        max(expected_usd) as expected_usd,
        coalesce(
            max_by(actual_usd, {{ item }}) filter (where actual_usd <> expected_usd),
            max(actual_usd)
        ) as actual_usd,
        max(abs(expected_usd - actual_usd)) as residual_usd,
        max(abs(expected_usd - actual_usd)) = 0 as is_passed,
        count(*) || ' {{ items }}'
        || coalesce(
            ', differs: ' || {{ list_text(item, 'actual_usd <> expected_usd') }}, ''
        ) as evidence
    from compared
    group by billing_month, payer_account_id, cost_basis

)
{%- endmacro %}

{% macro money_text(amount) -%}
    ({{ amount }})::decimal(38, 10)::string
{%- endmacro %}

{% macro hours_text(hours) -%}
    ({{ hours }})::decimal(28, 2)::string
{%- endmacro %}

{# Those texts of a column where a condition holds, in order; null where it never does. #}
{% macro list_text(text, condition) %}{{ return(adapter.dispatch('list_text')(text, condition)) }}{% endmacro %}
{% macro default__list_text(text, condition) -%}
    string_agg({{ text }}, ', ' order by {{ text }}) filter (where {{ condition }})
{%- endmacro %}
{% macro spark__list_text(text, condition) -%}
    nullif(
        array_join(sort_array(collect_list({{ text }}) filter (where {{ condition }})), ', '),
        ''
    )
{%- endmacro %}

{# Node-hours of a month whose shares are computed a second time. #}
{% macro most_proved_node_hours() %}{{ return(2000) }}{% endmacro %}

{# Node-hours by the version that the month is closed with; the others are empty here. #}
{% macro weighed_node_hours() -%}
    {% for version in methods() -%}
    select * from {{ ref('int_node_hours__weighed', v=version) }}
    where {{ version }} = {{ method_in_use() }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
{%- endmacro %}

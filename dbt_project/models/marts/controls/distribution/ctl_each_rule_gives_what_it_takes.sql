with

{{ told_bases() }},

moved as (

    select
        billing_month,
        payer_account_id,
        rule,
        across_payers,
        {% for basis in bases() -%}
        {{ basis }}_taken_usd,
        0::decimal(38, 10) as {{ basis }}_given_usd{{ ',' if not loop.last }}
        {% endfor %}
    from {{ source('distribution', 'charge_rules') }}
    union all
    select
        billing_month,
        bill_payer_account_id as payer_account_id,
        rule,
        false as across_payers,
        {% for basis in bases() -%}
        0::decimal(38, 10) as {{ basis }}_taken_usd,
        {{ basis }}_usd as {{ basis }}_given_usd{{ ',' if not loop.last }}
        {% endfor %}
    from {{ ref('fct_charges') }}
    where rule is not null

),

by_payer as (

    select
        billing_month,
        payer_account_id,
        rule,
        max(case when across_payers then 1 else 0 end) as across_payers,
        {% for basis in bases() -%}
        coalesce(sum({{ basis }}_taken_usd), 0) as {{ basis }}_taken_usd,
        coalesce(sum({{ basis }}_given_usd), 0) as {{ basis }}_given_usd
        {{- ',' if not loop.last }}
        {% endfor %}
    from moved
    group by billing_month, payer_account_id, rule

),

-- Where a rule may cross payers, it gives over all of them together what it takes.
by_rule as (

    select
        billing_month,
        payer_account_id,
        rule,
        {% for basis in bases() -%}
        {% for part in ['taken', 'given'] -%}
        case
            when max(across_payers) over (partition by billing_month, rule) = 1
                then sum({{ basis }}_{{ part }}_usd)
                    over (partition by billing_month, rule)
            else {{ basis }}_{{ part }}_usd
        end as {{ basis }}_{{ part }}_usd
        {{- ',' if not (loop.last and basis == bases()[-1]) }}
        {% endfor -%}
        {% endfor %}
    from by_payer

),

compared as (

    select
        bases.billing_month,
        bases.payer_account_id,
        bases.cost_basis,
        by_rule.rule,
        {% for part in ['taken', 'given'] -%}
        coalesce(
            case bases.cost_basis
                {% for basis in bases() -%}
                when '{{ basis }}' then by_rule.{{ basis }}_{{ part }}_usd
                {% endfor -%}
            end,
            0
        ) as {{ part }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from bases
    left join by_rule
        on
            bases.billing_month = by_rule.billing_month
            and bases.payer_account_id = by_rule.payer_account_id

),

final as (

    select
        billing_month,
        payer_account_id,
        cost_basis,
        sum(taken_usd) as expected_usd,
        sum(given_usd) as actual_usd,
        max(abs(taken_usd - given_usd)) as residual_usd,
        max(abs(taken_usd - given_usd)) = 0 as is_passed,
        count(rule) || ' rules'
        || coalesce(
            ', differs: ' || {{ list_text('rule', 'taken_usd <> given_usd') }}, ''
        ) as evidence
    from compared
    group by billing_month, payer_account_id, cost_basis

)

select * from final

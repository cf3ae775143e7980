with

{{ told_bases() }},

taken as (

    select
        billing_month,
        rule,
        across_payers,
        payer_account_id,
        {% for basis in bases() -%}
        {{ basis }}_taken_usd as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from {{ source('distribution', 'charge_rules') }}

),

given as (

    select
        billing_month,
        rule,
        bill_payer_account_id as payer_account_id,
        {% for basis in bases() -%}
        sum({{ basis }}_usd) as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from {{ ref('fct_charges') }}
    where rule is not null
    group by billing_month, rule, bill_payer_account_id

),

rules as (

    select
        billing_month,
        rule,
        max(case when across_payers then 1 else 0 end) = 1 as across_payers
    from taken
    group by billing_month, rule

),

by_payer as (

    select
        bases.billing_month,
        bases.payer_account_id,
        bases.cost_basis,
        rules.rule,
        rules.across_payers,
        coalesce({{ of_basis('taken') }}, 0) as taken_usd,
        coalesce({{ of_basis('given') }}, 0) as given_usd
    from bases
    left join rules on bases.billing_month = rules.billing_month
    left join taken
        on
            rules.billing_month = taken.billing_month
            and rules.rule = taken.rule
            and bases.payer_account_id = taken.payer_account_id
    left join given
        on
            rules.billing_month = given.billing_month
            and rules.rule = given.rule
            and bases.payer_account_id = given.payer_account_id

),

compared as (

    select
        billing_month,
        payer_account_id,
        cost_basis,
        rule,
        case
            when across_payers
                then sum(taken_usd) over (partition by billing_month, cost_basis, rule)
            else taken_usd
        end as taken_usd,
        case
            when across_payers
                then sum(given_usd) over (partition by billing_month, cost_basis, rule)
            else given_usd
        end as given_usd
    from by_payer

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
